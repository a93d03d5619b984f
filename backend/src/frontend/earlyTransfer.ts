import type { Logger } from '../observability/index.ts';
import type { DisaggregatedParams, EngineOutput, OverlappedRead, RoutingDecision } from '../protocol/index.ts';
import type { Dispatch } from './dispatch.ts';
import { causeOf } from './requestCause.ts';
import type { RouteChoice, WorkerRouter } from './workerRouter.ts';
import { WorkerLostError } from './workerLostError.ts';

/** When the prompt has been computed, a read under way may take as long again as the prompt took, and at least so long; then it is given up. */
const leastSettleMs = 1_000;

export interface EarlyTransferOptions {
  dispatch: Dispatch;
  workers: WorkerRouter;
  /** How the decode worker is chosen. */
  choice: RouteChoice;
  logger: Logger;
}

/**
 * While a prefill worker computes a prompt, the decode worker is chosen and made to read into its prefix cache what is offered of it, one offer after the
 * other. Nothing depends on it: what is not there when the prompt has been computed is read then. End with `settle` and `take`, or with `abandon`.
 */
export class EarlyTransfer {
  readonly #options: EarlyTransferOptions;
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;
  readonly #beganAt = performance.now();
  #decision: RoutingDecision | undefined;
  #next: DisaggregatedParams | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #abandoned = false;
  #read: OverlappedRead | undefined;

  constructor(options: EarlyTransferOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.dispatch.signal, this.#abort.signal]);
  }

  /** So much of the prompt can be read. */
  offered(params: DisaggregatedParams): void {
    this.#next = params;
    this.#running ??= this.#run();
  }

  /** The prompt has been computed: waits for the read under way. Returns what was read. */
  async settle(): Promise<OverlappedRead | undefined> {
    const endedAt = performance.now();
    this.#stopped = true;
    const late = setTimeout(() => this.#abort.abort(), Math.max(leastSettleMs, endedAt - this.#beganAt));
    await this.#running;
    clearTimeout(late);
    if (this.#read !== undefined) this.#read.settle_us = Math.round((performance.now() - endedAt) * 1000);
    return this.#read;
  }

  /** The decode worker that has read, which counts the request as its load: the caller sends it there, or frees it. */
  take(): RoutingDecision | undefined {
    const decision = this.#decision;
    if (decision === undefined) return undefined;
    if (!this.#options.dispatch.model.workers.has(BigInt(decision.chosen.worker_id))) {
      this.#free();
      return undefined;
    }
    this.#decision = undefined;
    return decision;
  }

  /** The request does not go on this way. */
  abandon(): void {
    this.#stopped = true;
    this.#abandoned = true;
    this.#abort.abort();
    this.#free();
  }

  async #run(): Promise<void> {
    try {
      for (let params = this.#takeNext(); params !== undefined; params = this.#takeNext()) await this.#fetch(params);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#running = undefined;
      if (this.#abandoned) this.#free(); // chosen meanwhile
    }
  }

  #takeNext(): DisaggregatedParams | undefined {
    const next = this.#stopped ? undefined : this.#next;
    this.#next = undefined;
    return next;
  }

  async #fetch(params: DisaggregatedParams): Promise<void> {
    const { dispatch, workers, choice } = this.#options;
    const { model, request } = dispatch;
    this.#decision ??= await workers.route(model, { ...dispatch, signal: this.#signal }, choice);
    const { worker_id, pod } = this.#decision.chosen;
    const { remote_num_tokens: tokens = 0, compatibility } = params.kv_transfer_params;
    const begin = { ...request, token_ids: request.token_ids.slice(0, tokens + 1), prefill_result: { disaggregated_params: params } };
    const span = dispatch.span?.child('kv_fetch', { attributes: { worker_id, pod, tokens } });
    try {
      const output = await workers.fetchKvBlocks(model, this.#decision, begin, this.#signal);
      if (output === undefined) this.#stopped = true;
      const { transport, blocks, bytes } = output?.kv_transfer ?? {};
      span?.set({ transport, blocks, bytes });
      span?.end();
      this.#add(output, tokens / (compatibility?.block_size ?? 1));
    } catch (error) {
      span?.end({ error });
      this.#failed(error);
    }
  }

  #add(output: EngineOutput | undefined, upTo: number): void {
    const { blocks = 0, transport = 'none', transfer_us = 0 } = output?.kv_transfer ?? {};
    if (blocks === 0) return;
    const before = this.#read;
    const first_block = Math.min(before?.first_block ?? upTo, upTo - blocks);
    const reads = (before?.reads ?? 0) + 1;
    this.#read = { first_block, blocks: upTo - first_block, reads, transport, transfer_us: (before?.transfer_us ?? 0) + transfer_us, settle_us: 0 };
  }

  /** The next offer is tried, unless the worker is gone. */
  #failed(error: unknown): void {
    if (this.#signal.aborted) return;
    const { plane, code, message } = causeOf(error);
    const { dispatch, logger } = this.#options;
    logger.info(`no blocks read ahead (${plane} plane, ${code}): ${message}`, { request_id: dispatch.request.request_id });
    if (this.#decision !== undefined && !(error instanceof WorkerLostError)) return;
    this.#stopped = true;
    this.#read = undefined;
    this.#free();
  }

  #free(): void {
    const { model, request } = this.#options.dispatch;
    if (this.#decision !== undefined) model.router.free(request.request_id);
    this.#decision = undefined;
  }
}
