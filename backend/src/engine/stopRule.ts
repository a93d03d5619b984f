import type { FinishReason } from '../protocol/index.ts';
import type { Sequence } from './sequence.ts';

/** Turns an answer's tokens into text as they come; see the preprocessor's detokeniser. */
export interface TokenText {
  push(ids: number[]): string;
}

/** When one answer ends. The frontend cuts the text before a stop string; here it only ends the work. */
export class StopRule {
  readonly #stopTokens: Set<number>;
  readonly #stopStrings: string[];
  readonly #text: TokenText | undefined;
  readonly #longest: number;
  readonly #minTokens: number;
  readonly #maxTokens: number;
  #tail = '';
  /** Tokens that must not be drawn before `min_tokens`. */
  readonly banned: Int32Array;

  constructor(sequence: Sequence, eosTokenIds: readonly number[], text: TokenText | undefined) {
    const { stop_conditions: stop } = sequence.request;
    this.#stopTokens = new Set([...(stop.ignore_eos ? [] : eosTokenIds), ...(stop.stop_token_ids ?? [])]);
    this.#stopStrings = (stop.stop ?? []).filter((string) => string.length > 0);
    this.#text = text;
    this.#longest = Math.max(0, ...this.#stopStrings.map((string) => string.length));
    this.#minTokens = stop.min_tokens ?? 0;
    this.#maxTokens = stop.max_tokens;
    this.banned = Int32Array.from(this.#stopTokens);
  }

  bansStopTokens(sequence: Sequence): boolean {
    return sequence.generatedTokens < this.#minTokens && this.banned.length > 0;
  }

  /** Looks at the token just appended. */
  check(sequence: Sequence, token: number): FinishReason | undefined {
    const enough = sequence.generatedTokens >= this.#minTokens;
    if (enough && this.#stopTokens.has(token)) return 'stop';
    if (this.#stopStrings.length > 0 && this.#text) {
      this.#tail += this.#text.push([token]);
      if (enough && this.#stopStrings.some((string) => this.#tail.includes(string))) return 'stop';
      this.#tail = this.#tail.slice(-this.#longest * 2);
    }
    if (sequence.generatedTokens >= this.#maxTokens || sequence.length >= sequence.maxTokens) return 'length';
    return undefined;
  }
}
