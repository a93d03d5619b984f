import type { NativeStepResult } from '@dynamo-labs/native';
import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import { BlockManager } from './blockManager.ts';
import { EngineError } from './engineError.ts';
import { engineModel } from './engineModel.ts';
import { stepLimits } from './engineOptions.ts';
import { type EngineCounters, engineStats, zeroCounters } from './engineStats.ts';
import { HeldBlocks } from './heldBlocks.ts';
import { type HostTier, hostTier } from './hostTier.ts';
import type { KvConnector, KvLoadResult } from './kvConnector.ts';
import type { EngineStats, LlmEngine, LlmEngineOptions } from './llmEngineApi.ts';
import type { ModelRunner } from './modelRunner.ts';
import { newSequence } from './newSequence.ts';
import { offerEarly, offerPrompt } from './offerPrompt.ts';
import { OutputStream } from './outputStream.ts';
import { accountOverlap } from './overlapAccount.ts';
import { promptAccount } from './promptAccount.ts';
import { RemoteLoads } from './remoteLoads.ts';
import { Scheduler, type ScheduledSlice } from './scheduler.ts';
import type { Sequence } from './sequence.ts';
import { StopRule } from './stopRule.ts';
import { storeFullBlocks } from './storeFullBlocks.ts';
import { tokenOutput } from './tokenOutput.ts';

interface Request {
  sequence: Sequence;
  rule: StopRule;
  output: OutputStream;
}

/** `createLlmEngine` makes one. */
export class Engine implements LlmEngine {
  readonly model: LlmEngine['model'];
  readonly kvPool: ArrayBuffer;
  readonly #options: LlmEngineOptions;
  readonly #runner: ModelRunner;
  readonly #blocks: BlockManager;
  readonly #scheduler: Scheduler;
  readonly #held: HeldBlocks;
  readonly #host: HostTier | undefined;
  readonly #loads: RemoteLoads | undefined;
  #newLoads: [sequence: Sequence, cachedBlocks: number][] = [];
  readonly #newFetches: Request[] = [];
  readonly #requests = new Map<Sequence, Request>();
  readonly #listeners = new Set<(event: KvCacheEvent) => void>();
  readonly #counters: EngineCounters = { ...zeroCounters };
  /** Cleared between steps only: a step in flight reads the blocks. */
  readonly #clears: ((blocks: number) => void)[] = [];
  #loop: Promise<void> | undefined;
  #closed = false;

  constructor(options: LlmEngineOptions, runner: ModelRunner) {
    this.#options = options;
    this.#runner = runner;
    this.kvPool = runner.pool;
    this.#blocks = new BlockManager({
      blocks: options.blocks,
      blockTokens: options.blockTokens,
      enablePrefixCaching: options.enablePrefixCaching,
      onEvent: (event) => {
        for (const listener of this.#listeners) listener(event);
      },
      onAllocate: (ids) => options.connector?.blocksReused(ids),
      onEvict: (evicted) => this.#host?.offload(evicted),
    });
    this.#host = hostTier(options, runner.blockBytes, (data) => this.#blocks.emit(data, 'host_pinned'));
    this.#held = new HeldBlocks(this.#blocks, () => this.#wake());
    this.#loads = options.connector && new RemoteLoads(options.connector, (sequence, result) => this.#loadSettled(sequence, result));
    this.#scheduler = new Scheduler(this.#blocks, {
      ...stepLimits(options),
      onLoad: (...load) => void this.#newLoads.push(load),
      hostTier: this.#host,
    });
    this.model = engineModel(runner, options.blockTokens);
  }

  async *generate(request: PreprocessedRequest, signal: AbortSignal): AsyncGenerator<EngineOutput, void, void> {
    let entry: Request;
    try {
      entry = this.#accept(request);
    } catch (error) {
      this.#options.connector?.abandon(request);
      if (!(error instanceof EngineError)) throw error;
      yield { token_ids: [], finish_reason: 'error', error: { code: error.code, message: error.message } };
      return;
    }
    const cancel = (): void => this.#cancel(entry);
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      yield* entry.output;
    } finally {
      signal.removeEventListener('abort', cancel);
      cancel();
    }
  }

  onKvEvent(listener: (event: KvCacheEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  dumpKvEvents(): KvCacheEvent[] {
    const events = this.#blocks.dump();
    return [...events, ...(this.#host?.dump(events.length, (hash) => this.#blocks.isCached(hash)) ?? [])];
  }

  clearPrefixCache(): Promise<number> {
    if (this.#closed) return Promise.reject(new EngineError('ENGINE_CLOSED', 'the engine is closed'));
    return new Promise((resolve) => {
      this.#clears.push(resolve);
      this.#wake();
    });
  }

  stats(): EngineStats {
    return engineStats({ blocks: this.#blocks, scheduler: this.#scheduler, held: this.#held, host: this.#host, counters: this.#counters });
  }

  rehearsal(): Omit<LlmEngine, typeof Symbol.asyncDispose> {
    const { connector: _, hostBlocks: __, hostBytes: ___, ...own } = this.#options;
    return new Engine(own, this.#runner);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const first = !this.#closed;
    this.#closed = true;
    const disposed = this.#runner.dispose(); // ends a step in flight
    await this.#loop;
    await this.#loads?.close();
    await disposed;
    if (!first) return;
    for (const entry of this.#requests.values()) this.#fail(entry, new EngineError('ENGINE_CLOSED', 'the engine was closed'));
    for (const resolve of this.#clears.splice(0)) resolve(this.#clear());
  }

  #clear(): number {
    this.#host?.clear();
    return this.#blocks.clear();
  }

  #accept(request: PreprocessedRequest): Request {
    if (this.#closed) throw new EngineError('ENGINE_CLOSED', 'the engine is closed');
    const sequence = newSequence(request, this.model, this.#blocks, this.#options);
    const text = request.stop_conditions.stop?.length ? this.#options.textStream?.() : undefined;
    const entry = { sequence, rule: new StopRule(sequence, this.model.eosTokenIds, text), output: new OutputStream() };
    this.#requests.set(sequence, entry);
    if (sequence.fetchOnly) this.#newFetches.push(entry);
    else this.#scheduler.add(sequence);
    if (sequence.remoteTokens !== undefined) this.#options.connector?.queued(request);
    this.#wake();
    return entry;
  }

  /** Takes effect when the step in flight ends. */
  #cancel({ sequence }: Request): void {
    if (sequence.state === 'finished') return;
    sequence.cancelled = true;
    if (sequence.state === 'waiting_for_remote_kvs') this.#loads?.cancel(sequence);
    else this.#wake();
  }

  /** From here on nothing is written to the sequence's blocks but by steps. */
  #loadSettled(sequence: Sequence, { outcome, account, error }: KvLoadResult): void {
    const entry = this.#requests.get(sequence)!;
    sequence.transfer = account;
    if (this.#closed) return; // closing ends the request
    if (sequence.cancelled) this.#finish(entry, { token_ids: [], finish_reason: 'cancelled' });
    else if (outcome === 'failed' || (sequence.fetchOnly && outcome !== 'loaded'))
      this.#finish(entry, { token_ids: [], finish_reason: 'error', kv_transfer: account, error: error! });
    else {
      this.#scheduler.loadSettled(sequence, outcome === 'loaded');
      if (outcome === 'loaded') accountOverlap(sequence, this.#blocks.blockTokens);
      if (outcome === 'loaded') this.#storeFullBlocks(sequence);
      if (sequence.fetchOnly) this.#finish(entry, { token_ids: [], finish_reason: 'length', kv_transfer: account });
    }
    this.#wake();
  }

  #wake(): void {
    this.#loop ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closed) {
        await Promise.resolve(); // requests that arrive in one turn share the step
        for (const entry of [...this.#requests.values()])
          if (entry.sequence.cancelled && entry.sequence.state !== 'waiting_for_remote_kvs') this.#finish(entry, { token_ids: [], finish_reason: 'cancelled' });
        for (const resolve of this.#clears.splice(0)) resolve(this.#clear());
        this.#beginFetches();
        const slices = this.#scheduler.schedule();
        this.#moveBlocks();
        if (slices.length === 0) return;
        await this.#step(slices);
      }
    } finally {
      this.#loop = undefined; // in the same turn as the decision to stop: a wake-up is never lost
    }
  }

  /** What cannot be read at once is not worth waiting for: it is read when the whole prompt has been computed. */
  #beginFetches(): void {
    for (const entry of this.#newFetches.splice(0))
      if (entry.sequence.state === 'waiting' && !(this.#options.enablePrefixCaching && this.#scheduler.beginFetch(entry.sequence)))
        this.#fail(entry, new EngineError('NO_ROOM', 'there is no room for blocks that nobody waits for'));
  }

  /** Copies to and from the host tier before the step, and only then lets others write to what was evicted. */
  #moveBlocks(): void {
    const moves = this.#host?.takeMoves();
    const moved = moves ? this.#runner.copyBlocks(this.#host!.memory, moves) : Promise.resolve();
    moved.catch(() => {}); // the model was disposed: so is the step
    for (const [sequence, cachedBlocks] of this.#newLoads.splice(0)) this.#loads?.start(sequence, cachedBlocks, this.#blocks.blockTokens, moved);
  }

  async #step(slices: ScheduledSlice[]): Promise<void> {
    const entries = slices.map((slice) => ({ slice, ...this.#requests.get(slice.sequence)! }));
    for (const { sequence } of entries) {
      sequence.startedAt ??= performance.now();
      sequence.firstCachedTokens ??= sequence.computedTokens;
      sequence.firstHostTokens ??= sequence.hostTokens;
    }
    let results: NativeStepResult[];
    try {
      results = await this.#runner.step(entries);
    } catch (cause) {
      const error = this.#closed
        ? new EngineError('ENGINE_CLOSED', 'the engine was closed')
        : new EngineError('STEP_FAILED', `the model could not compute a step: ${(cause as Error).message}`, { cause });
      this.#counters.failedStepsInARow++;
      for (const entry of entries) this.#fail(entry, error);
      return;
    }
    this.#counters.steps++;
    this.#counters.failedStepsInARow = 0;
    for (const [i, entry] of entries.entries()) this.#advance(entry, entry.slice.count, results[i]!);
  }

  /** Books what a step computed for one sequence and passes its token on. */
  #advance(entry: Request, count: number, result: NativeStepResult): void {
    const { sequence, rule, output } = entry;
    this.#counters.computedTokens += count;
    sequence.computedTokens += count;
    this.#storeFullBlocks(sequence);
    if (sequence.cancelled) return;
    if (result.token === undefined) {
      const early = offerEarly(this.#options.connector, this.#held, sequence, this.#blocks.blockTokens);
      return early && output.push(early);
    }

    sequence.append(result.token);
    this.#counters.generatedTokens++;
    const item = tokenOutput(sequence.request, result.token, result);
    if (!sequence.accounted) this.#account(sequence, item);
    const reason = rule.check(sequence, result.token);
    if (!reason) output.push(item);
    else if (this.#options.connector && sequence.request.kv_transfer_params?.do_remote_decode === true) this.#offer(this.#options.connector, entry, item);
    else this.#finish(entry, { ...item, finish_reason: reason });
  }

  #account(sequence: Sequence, item: EngineOutput): void {
    sequence.accounted = true;
    item.prompt = promptAccount(sequence, this.#blocks.blockTokens);
    if (sequence.transfer) item.kv_transfer = sequence.transfer;
    this.#counters.promptTokens += item.prompt.prompt_tokens;
    this.#counters.cachedTokens += item.prompt.cached_tokens;
    this.#counters.hostCachedTokens += item.prompt.host_cached_tokens ?? 0;
    this.#counters.transferredTokens += sequence.transferredTokens;
  }

  /** Ends a prompt that another worker goes on from. */
  #offer(connector: KvConnector, entry: Request, item: EngineOutput): void {
    try {
      const disaggregated_params = offerPrompt(connector, this.#held, entry.sequence, this.#blocks.blockTokens);
      this.#finish(entry, { ...item, finish_reason: 'length', disaggregated_params });
    } catch (error) {
      this.#fail(entry, error as EngineError);
    }
  }

  #storeFullBlocks(sequence: Sequence): void {
    if (this.#options.enablePrefixCaching) storeFullBlocks(this.#blocks, sequence);
  }

  #finish(entry: Request, last: EngineOutput): void {
    const { sequence } = entry;
    if (sequence.remoteTokens !== undefined && sequence.state === 'waiting') this.#options.connector?.abandon(sequence.request);
    this.#requests.delete(sequence);
    this.#scheduler.finish(sequence);
    entry.output.push(last);
    entry.output.end();
  }

  #fail(entry: Request, error: EngineError): void {
    this.#finish(entry, { token_ids: [], finish_reason: 'error', error: { code: error.code, message: error.message } });
  }
}
