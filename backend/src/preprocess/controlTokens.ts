/** A stretch of a prompt: text, or one control token. */
export type PromptPart = { text: string } | { control: number };

/**
 * Keeps what a person writes from becoming control tokens. Before the chat template is rendered, a mark is put inside every control token's name that
 * occurs in the messages; after it, only unmarked names are control tokens, and the marks are taken out. The text between control tokens stays in one
 * piece, so that it is tokenised exactly as if nothing had been done.
 */
export class ControlTokens {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #names: RegExp | undefined;

  constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids;
    const names = [...ids.keys()].filter(Boolean).sort((a, b) => b.length - a.length);
    this.#names = names.length > 0 ? new RegExp(names.map(escapeRegExp).join('|'), 'gu') : undefined;
  }

  /** A deep copy of `value` with marked strings, and the mark: a character that occurs nowhere in it. */
  mark<T>(value: T): { marked: T; mark: string } {
    const mark = unusedCharacter(JSON.stringify(value) ?? '');
    return { marked: mapStrings(value, (text) => this.#markText(text, mark)) as T, mark };
  }

  split(rendered: string, mark: string): PromptPart[] {
    const parts: PromptPart[] = [];
    let at = 0;
    const pushText = (end: number): void => {
      const text = rendered.slice(at, end).replaceAll(mark, '');
      if (text) parts.push({ text });
    };
    for (const match of this.#names ? rendered.matchAll(this.#names) : []) {
      pushText(match.index);
      parts.push({ control: this.#ids.get(match[0])! });
      at = match.index + match[0].length;
    }
    pushText(rendered.length);
    return parts;
  }

  #markText(text: string, mark: string): string {
    if (!this.#names) return text;
    // Marking one name may leave another that overlaps it: repeat until none is left.
    let marked = text;
    for (let before = ''; before !== marked;) {
      before = marked;
      marked = marked.replace(this.#names, (name) => `${name.slice(0, 1)}${mark}${name.slice(1)}`);
    }
    return marked;
  }
}

/** Unicode noncharacters: never part of text that is interchanged. */
function unusedCharacter(text: string): string {
  for (let code = 0xfdd0; code <= 0xfdef; code++) if (!text.includes(String.fromCharCode(code))) return String.fromCharCode(code);
  for (let code = 0xe000; code <= 0xf8ff; code++) if (!text.includes(String.fromCharCode(code))) return String.fromCharCode(code);
  throw new RangeError('the text uses every private-use character');
}

function mapStrings(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, map));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapStrings(item, map)]));
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/gu, '\\$&');
}
