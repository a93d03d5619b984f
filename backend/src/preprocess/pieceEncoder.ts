import { Tokenizer } from '@huggingface/tokenizers';

/** What of tokenizer.json decides whether pieces can be encoded one by one. */
export interface PieceTokenizerFile {
  normalizer?: unknown;
  pre_tokenizer?: PreTokenizerConfig | null;
  model?: { type?: string; vocab?: Record<string, number> };
}

interface PreTokenizerConfig {
  type: string;
  pretokenizers?: PreTokenizerConfig[];
  behavior?: string;
  invert?: boolean;
  add_prefix_space?: boolean;
  use_regex?: boolean;
}

/** GPT-2's, which a ByteLevel pre-tokenizer applies with `use_regex`. */
const byteLevelPattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
/** Pieces that are remembered, and the longest of them in characters. */
const maxPieces = 32_768;
const maxPieceLength = 64;

/**
 * Encodes text piece by piece, and remembers what pieces became: a byte-level BPE tokenizer first cuts text into words, and what becomes of a
 * word does not depend on its neighbours. Most words of a prompt have been seen before.
 */
export class PieceEncoder {
  readonly #cut: (text: string) => string[];
  readonly #encode: (text: string) => number[];
  readonly #known = new Map<string, readonly number[]>();

  /** `undefined` for tokenizers of another kind. `encode` is the whole tokenizer, without added tokens. */
  static of(file: PieceTokenizerFile, encode: (text: string) => number[]): PieceEncoder | undefined {
    const { normalizer, pre_tokenizer: cutting, model } = file;
    if (normalizer || model?.type !== 'BPE' || !cutting) return undefined;
    const steps = cutting.type === 'Sequence' ? (cutting.pretokenizers ?? []) : [cutting];
    const last = steps.at(-1);
    if (last?.type !== 'ByteLevel' || last.add_prefix_space === true) return undefined;
    const cuts = steps.slice(0, -1);
    if (!cuts.every(({ type, behavior, invert }) => type === 'Split' && behavior === 'Isolated' && invert !== true)) return undefined;
    if (last.use_regex !== false) cuts.push({ type: 'Split', behavior: 'Isolated', invert: false, pattern: { Regex: byteLevelPattern } } as PreTokenizerConfig);
    if (cuts.length === 0) return undefined;
    const pre_tokenizer = { type: 'Sequence', pretokenizers: cuts };
    const nothing = { normalizer: null, model: { type: 'BPE', vocab: {}, merges: [] }, post_processor: null, decoder: null, added_tokens: [] };
    const words = new Tokenizer({ ...nothing, pre_tokenizer }, {});
    return words.pre_tokenizer === null ? undefined : new PieceEncoder((text) => words.pre_tokenizer!.pre_tokenize(text), encode);
  }

  private constructor(cut: (text: string) => string[], encode: (text: string) => number[]) {
    this.#cut = cut;
    this.#encode = encode;
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    for (const piece of this.#cut(text)) {
      const known = this.#known.get(piece) ?? this.#learn(piece);
      if (known === undefined) return this.#encode(text);
      for (let i = 0; i < known.length; i++) ids.push(known[i]!);
    }
    return ids;
  }

  /** `undefined` for a piece that would be cut differently on its own. */
  #learn(piece: string): readonly number[] | undefined {
    if (this.#cut(piece).length !== 1) return undefined;
    const ids = this.#encode(piece);
    if (piece.length > maxPieceLength) return ids;
    if (this.#known.size >= maxPieces) this.#known.clear();
    this.#known.set(piece, ids);
    return ids;
  }
}
