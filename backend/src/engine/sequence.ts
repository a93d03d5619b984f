import type { FinishReason, KvTransferAccount, PreprocessedRequest } from '../protocol/index.ts';
import type { BlockIdentity } from './blockManager.ts';

/** vLLM's names: `waiting_for_remote_kvs` has its blocks, which are being read from another worker; with `remote_kvs_loaded` it only needs a place in a step. */
export type SequenceState = 'waiting' | 'waiting_for_remote_kvs' | 'remote_kvs_loaded' | 'running' | 'finished';

/** One request inside the engine: its tokens, its pages and how far it has been computed. */
export class Sequence {
  readonly request: PreprocessedRequest;
  readonly seed: bigint;
  readonly arrivedAt = performance.now();
  readonly promptTokens: number;
  /** Longest the sequence may become, prompt and answer together. */
  readonly maxTokens: number;
  state: SequenceState = 'waiting';
  /** Set from outside: leave at the end of the running step. */
  cancelled = false;
  finishReason: FinishReason | undefined;

  /** Tokens whose KV is in the blocks. */
  computedTokens = 0;
  blockTable: number[] = [];
  /** Identities of the full blocks known so far: the prompt's at once, the answer's as they fill. */
  identities: BlockIdentity[] = [];
  /** Leading blocks that are in the prefix cache through this sequence. */
  storedBlocks = 0;

  /** Leading tokens whose KV another worker has; undefined where there is none, or once its answer is known. */
  remoteTokens: number | undefined;
  /** Tokens whose KV came from there. */
  transferredTokens = 0;
  transfer: KvTransferAccount | undefined;
  /** Its blocks are read into the prefix cache, and that is all: the prompt they begin is still being computed elsewhere. */
  readonly fetchOnly: boolean;

  /** Tokens whose blocks came back from the host tier. */
  hostTokens = 0;
  /** Of the first admission, for the account. */
  firstCachedTokens: number | undefined;
  firstHostTokens: number | undefined;
  startedAt: number | undefined;
  accounted = false;

  readonly #tokens: Int32Array;
  #length: number;

  constructor(request: PreprocessedRequest, seed: bigint, maxTokens: number) {
    this.request = request;
    this.fetchOnly = request.prefill_result?.disaggregated_params.kv_transfer_params.remote_prefill_in_progress === true;
    this.seed = seed;
    this.promptTokens = request.token_ids.length;
    this.maxTokens = maxTokens;
    this.#tokens = new Int32Array(maxTokens);
    this.#tokens.set(request.token_ids);
    this.#length = this.promptTokens;
  }

  /** Prompt and answer so far. */
  get length(): number {
    return this.#length;
  }
  get generatedTokens(): number {
    return this.#length - this.promptTokens;
  }
  /** Tokens still to go through the model before the next one can be drawn. */
  get pendingTokens(): number {
    return this.#length - this.computedTokens;
  }
  slice(from: number, to: number): Int32Array {
    return this.#tokens.slice(from, to);
  }
  append(token: number): void {
    this.#tokens[this.#length++] = token;
  }
}
