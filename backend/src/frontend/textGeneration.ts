import type { EngineOutput, FinishReason, PromptAccount } from '../protocol/index.ts';
import type { TextCodec } from '../preprocess/index.ts';
import { StopMatcher } from './stopMatcher.ts';

/** One piece of an answer. */
export interface TextDelta {
  text: string;
  tokens: TokenLogprob[];
  /** On the last piece. */
  finishReason?: FinishReason;
}

export interface TokenLogprob {
  token: string;
  tokenId: number;
  logprob: number;
  top: { token: string; logprob: number }[];
}

/** What an answer used, valid once it ended. */
export interface GenerationUsage {
  promptTokens: number;
  completionTokens: number;
  account: PromptAccount | undefined;
  /** Milliseconds; undefined before the first token. */
  ttftMs: number | undefined;
  /** Mean milliseconds between tokens. */
  itlMs: number | undefined;
}

/** Turns a worker's tokens into text: characters split over tokens wait for their rest, stop strings end the answer. */
export class TextGeneration {
  readonly usage: GenerationUsage;
  readonly #codec: TextCodec;
  readonly #outputs: AsyncIterable<EngineOutput>;
  readonly #stop: readonly string[];
  readonly #logprobs: boolean;

  constructor(options: { codec: TextCodec; outputs: AsyncIterable<EngineOutput>; stop: readonly string[]; promptTokens: number; logprobs: boolean }) {
    this.#codec = options.codec;
    this.#outputs = options.outputs;
    this.#stop = options.stop;
    this.#logprobs = options.logprobs;
    this.usage = { promptTokens: options.promptTokens, completionTokens: 0, account: undefined, ttftMs: undefined, itlMs: undefined };
  }

  /** Ends with a delta that has a finish reason. Leaving early cancels the work. */
  async *deltas(): AsyncIterableIterator<TextDelta> {
    const stream = this.#codec.stream();
    const matcher = new StopMatcher(this.#stop);
    const begin = performance.now();
    let firstAt = 0;
    for await (const output of this.#outputs) {
      if (output.prompt !== undefined) this.usage.account = output.prompt;
      if (output.token_ids.length > 0) {
        const now = performance.now();
        if (this.usage.completionTokens === 0) {
          firstAt = now;
          this.usage.ttftMs = now - begin;
        }
        this.usage.completionTokens += output.token_ids.length;
        if (this.usage.completionTokens > 1) this.usage.itlMs = (now - firstAt) / (this.usage.completionTokens - 1);
      }
      const found = matcher.push(stream.push(output.token_ids));
      const tokens = this.#logprobs ? this.#tokenLogprobs(output) : [];
      if (found.stopped) {
        yield { text: found.text, tokens, finishReason: 'stop' };
        return;
      }
      if (output.finish_reason !== undefined) {
        const last = matcher.push(stream.end());
        const rest = last.stopped ? '' : matcher.end();
        yield { text: found.text + last.text + rest, tokens, finishReason: last.stopped ? 'stop' : output.finish_reason };
        return;
      }
      if (found.text !== '' || tokens.length > 0) yield { text: found.text, tokens };
    }
  }

  #tokenLogprobs(output: EngineOutput): TokenLogprob[] {
    return output.token_ids.map((tokenId, index) => ({
      token: this.#codec.decode([tokenId]),
      tokenId,
      logprob: output.log_probs?.[index] ?? 0,
      top: (output.top_logprobs?.[index] ?? []).map(({ token_id, logprob }) => ({ token: this.#codec.decode([token_id]), logprob })),
    }));
  }
}
