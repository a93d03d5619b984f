/** Text of an answer as its tokens come. */
export interface TokenStream {
  /** The text that became certain with these tokens; empty while a character is incomplete. */
  push(ids: readonly number[]): string;
  /** What is left: an incomplete character becomes U+FFFD. */
  end(): string;
}

const replacement = '\ufffd';

/**
 * Decodes a growing window: what a token adds may depend on its predecessor (word boundaries) and may end inside a character. The window starts at the
 * last token whose text was passed on completely, so the cost of a token does not grow with the answer.
 */
export function detokenizer(decode: (ids: readonly number[]) => string): TokenStream {
  let window: number[] = [];
  /** Leading tokens of the window whose text is out. */
  let done = 0;
  return {
    push(ids) {
      let text = '';
      for (const id of ids) {
        window.push(id);
        const before = decode(window.slice(0, done));
        const all = decode(window);
        if (all.length <= before.length || all.endsWith(replacement)) continue;
        text += all.slice(before.length);
        window = window.slice(done);
        done = window.length;
      }
      return text;
    },
    end() {
      const text = decode(window).slice(decode(window.slice(0, done)).length);
      window = [];
      done = 0;
      return text;
    },
  };
}
