import { InvalidBlockSizeError } from '../protocol/blockHash.ts';
import type { RouterEvent, RouterMode, RoutingDecision } from '../protocol/index.ts';
import { ActiveSequences, type WorkerLoad } from './activeSequences.ts';
import { ApproximateIndex } from './approximateIndex.ts';
import { type BusyThresholds, checkBusyThresholds } from './busyThresholds.ts';
import { CHOOSERS } from './chooseWorker.ts';
import { COST_FORMULAS, type CostFormulaName, effectiveCachedTokens } from './costFormula.ts';
import { DecisionStore } from './decisionStore.ts';
import { eligibleWorkers, type WorkerConstraints } from './eligibleWorkers.ts';
import { fillCandidates } from './fillCandidates.ts';
import { type ApplyResult, type EventRecovery, KvIndexer } from './kvIndexer.ts';
import type { KvRouterOptions, RouteRequest } from './kvRouterOptions.ts';
import type { RouterHealth } from './routerDoctor.ts';
import { RecordedDecision } from './recordedDecision.ts';
import { RouterError } from './routerError.ts';
import { RowSlabs } from './rowSlabs.ts';
import { type RouterKernels, TYPESCRIPT_KERNELS } from './routerKernels.ts';
import { resolveWeights, type ResolvedWeights } from './routerWeights.ts';
import { randomSeed, SeededRandom } from './seededRandom.ts';
import { replicaRequestId, type SequenceEvent } from './sequenceEvent.ts';
import { trackedSequence } from './trackedSequence.ts';
import { type WorkerDescription, WorkerTable } from './workerTable.ts';

const PURGE_INTERVAL_MS = 30_000;

/**
 * Chooses a worker for each request: cached prefix against load, with every term on record.
 *
 * Pure: no sockets, no timers. Feed it workers (`setWorkers`) and KV events (`applyEvent`), ask it (`route`), and tell it
 * how requests go on (`prefillCompleted`, `outputBlocks`, `free`).
 */
export class KvRouter {
  readonly mode: RouterMode;
  readonly blockSize: number;
  readonly formula: CostFormulaName;
  readonly weights: ResolvedWeights;
  readonly decisions: DecisionStore;
  /** Names this router to its replicas. */
  readonly routerId: string = crypto.randomUUID();
  /** False: overlaps come from the router's own decisions. */
  readonly kvEvents: boolean;
  readonly #kernels: RouterKernels;
  readonly #busy: BusyThresholds;
  readonly #workers = new WorkerTable();
  readonly #indexer: KvIndexer;
  readonly #active: ActiveSequences;
  /** The whole truth without events; with them, the guess about requests on their way. */
  readonly #approximate: ApproximateIndex | undefined;
  readonly #loadListeners = new Set<() => void>();
  readonly #sequenceListeners = new Set<(event: SequenceEvent) => void>();
  /** Per slot: finished requests that must have stored blocks, since its last event. */
  readonly #storesExpected = new Map<number, number>();
  readonly #random: SeededRandom;
  readonly #slabs: RowSlabs;
  readonly #clock: () => number;
  readonly #maxPromptTokens: number;
  #sequence = 0;
  #turn = 0;
  #purgedAt: number;

  /** Throws `RouterError` INVALID_ROUTER_CONFIG and `InvalidBlockSizeError`. */
  constructor(options: KvRouterOptions) {
    const { mode, blockSize, formula = 'linear', seed = randomSeed(), kernels = TYPESCRIPT_KERNELS, kvEvents = true, predictedTtlMs } = options;
    if (!Object.hasOwn(CHOOSERS, mode))
      throw new RouterError('INVALID_ROUTER_CONFIG', `Unknown router mode \`${mode}\`; known: ${Object.keys(CHOOSERS).join(', ')}`);
    if (!Object.hasOwn(COST_FORMULAS, formula))
      throw new RouterError('INVALID_ROUTER_CONFIG', `Unknown cost formula \`${formula}\`; known: ${Object.keys(COST_FORMULAS).join(', ')}`);
    if (!Number.isSafeInteger(blockSize) || blockSize < 1) throw new InvalidBlockSizeError(blockSize);
    this.mode = mode;
    this.blockSize = blockSize;
    this.formula = formula;
    this.weights = resolveWeights(options.weights);
    this.decisions = new DecisionStore(options.decisions, kernels.createRows);
    this.#slabs = new RowSlabs(this.decisions.limit, kernels.createRows);
    this.kvEvents = kvEvents;
    this.#kernels = kernels;
    this.#busy = options.busy ?? {};
    checkBusyThresholds(this.#busy);
    this.#indexer = new KvIndexer({ workers: this.#workers, createIndex: () => kernels.createIndex() });
    const blocks = kernels.createActiveBlocks();
    this.#active = new ActiveSequences(options.staleAfterMs === undefined ? { blocks } : { blocks, staleAfterMs: options.staleAfterMs });
    if (!kvEvents) this.#approximate = new ApproximateIndex(kernels.createIndex(), options.approximate);
    else if (predictedTtlMs !== undefined) this.#approximate = new ApproximateIndex(kernels.createIndex(), { ttlMs: predictedTtlMs });
    this.#random = new SeededRandom(seed);
    this.#clock = options.clock ?? (() => performance.now());
    this.#maxPromptTokens = options.maxPromptTokens ?? 1_048_576;
    this.#purgedAt = this.#clock();
  }

  /** Replaces the set of workers. What is known of those that went (blocks, load) is dropped. */
  setWorkers(workers: readonly WorkerDescription[]): void {
    const { added, removed } = this.#workers.set(workers);
    this.#indexer.removeSlots(removed);
    for (const { slot } of removed) {
      this.#active.removeSlot(slot);
      this.#approximate?.removeSlot(slot);
      this.#storesExpected.delete(slot);
    }
    this.#indexer.addSlots(added, this.#clock());
    this.#loadChanged();
  }

  /** Never throws: bad events are counted (`indexStats().events`) and named in the result. */
  applyEvent(event: RouterEvent): ApplyResult {
    if (!this.kvEvents) return { status: 'ignored', detail: 'this router runs without KV events' };
    const result = this.#indexer.apply(event, this.#clock());
    if (this.#storesExpected.size === 0 || result.status === 'invalid') return result;
    this.#storesExpected.delete(this.#workers.find(event.workerId, event.event.dpRank)?.slot ?? -1);
    return result;
  }

  /** Events of this rank wait until `completeRecovery` or `abandonRecovery`. False for a worker or rank that is not known. */
  beginRecovery(workerId: bigint, dpRank: number): boolean {
    return this.#indexer.beginRecovery(workerId, dpRank);
  }

  completeRecovery(workerId: bigint, dpRank: number, recovery: EventRecovery): void {
    this.#indexer.completeRecovery(workerId, dpRank, recovery, this.#clock());
  }

  abandonRecovery(workerId: bigint, dpRank: number): void {
    this.#indexer.abandonRecovery(workerId, dpRank, this.#clock());
  }

  /**
   * Throws `RouterError` when nobody may take the request; its `gate` says which rule refused.
   * To read the candidates of a decision later than at once, take it from `decisions`.
   */
  route(request: RouteRequest): RoutingDecision {
    const start = performance.now();
    if (request.tokens.length === 0) throw new RouterError('EMPTY_PROMPT', 'A prompt needs at least one token');
    if (request.tokens.length > this.#maxPromptTokens) {
      throw new RouterError('PROMPT_TOO_LONG', `Prompt of ${request.tokens.length} tokens exceeds the router's limit of ${this.#maxPromptTokens}`);
    }
    const weights = request.overrides ? resolveWeights(request.overrides, this.weights) : this.weights;
    this.#purgeStaleNowAndThen();
    const slots = this.eligible(request);
    const hashes = request.hashes ?? this.#kernels.hashBlocks(request.tokens, this.blockSize, request, true);
    const { sequence } = hashes;
    const hashed = performance.now();
    const known = this.#indexer.findMatches(sequence);
    const overlap = this.#approximate?.withPredictions(known, sequence, this.#clock()) ?? known;
    const matched = performance.now();
    const tracked = trackedSequence(sequence, request);
    const formula = this.mode === 'kv' || this.mode === 'direct' ? this.formula : 'none';
    const islTokens = request.tokens.length;
    const context = { islTokens, blockSize: this.blockSize, minActivePrefillTokens: 0, weights };
    const { rows, costs } = fillCandidates({ slots, sequence: tracked, overlap, active: this.#active, context, formula, slabs: this.#slabs });
    const turn = this.#turn;
    const selection = CHOOSERS[this.mode]({ candidates: rows, costs, turn, temperature: weights.temperature, random: this.#random });
    const end = performance.now();
    const decision = new RecordedDecision({
      sequence: this.#sequence++,
      request_id: request.requestId,
      model: request.model,
      mode: this.mode,
      block_size: this.blockSize,
      isl_tokens: islTokens,
      request_blocks: sequence.length,
      prefixHash: sequence.at(-1),
      formula,
      weights,
      decidedAt: Date.now(),
      start,
      hashed,
      matched,
      end,
      rows,
      selection,
      chosenOverlap: rows.deviceOverlap(selection.index),
      chosenCost: costs[selection.index]!,
      turn: turn % slots.length,
      pinned: request.pin !== undefined && slots.length === 1,
    });
    if (!request.queryOnly) {
      this.#turn++;
      const slot = slots[selection.index]!;
      const inputs = rows.inputs(selection.index);
      const uncached = Math.max(islTokens - effectiveCachedTokens(inputs, weights, this.blockSize), 0);
      const prefillTokens = request.trackPrefillTokens === false ? 0 : uncached;
      const newBlocks = sequence.length - inputs.deviceOverlapBlocks;
      this.#active.add({ requestId: request.requestId, slot, sequence: tracked, prefillTokens, newBlocks }, this.#clock());
      this.#approximate?.insert(slot.slot, hashes, this.#clock());
      const { workerId, dpRank } = slot;
      if (this.#sequenceListeners.size > 0)
        this.#tellReplicas({ type: 'add', ...this.#own(request.requestId), workerId, dpRank, sequence: tracked.slice(), prefillTokens });
    }
    this.decisions.add(decision);
    return decision;
  }

  /** The first token is there: the prompt is no load any more. */
  prefillCompleted(requestId: string): void {
    if (!this.#active.prefillCompleted(requestId)) return;
    this.#tellReplicas({ type: 'prefill-completed', ...this.#own(requestId) });
    this.#loadChanged();
  }

  /** The answer grew by `blocks` KV blocks. */
  outputBlocks(requestId: string, blocks: number): void {
    this.#active.addOutputBlocks(requestId, blocks);
  }

  /** The request ended, however it did. Calling it again, or for an unknown id, does nothing. */
  free(requestId: string, outcome?: RoutingDecision['outcome']): void {
    const slot = this.#active.slotOf(requestId);
    if (slot && this.#active.storesBlocks(requestId)) this.#storesExpected.set(slot.slot, (this.#storesExpected.get(slot.slot) ?? 0) + 1);
    if (this.#active.free(requestId)) {
      this.#tellReplicas({ type: 'free', ...this.#own(requestId) });
      this.#loadChanged();
    }
    if (outcome) this.decisions.complete(requestId, outcome);
  }

  /** What the index holds and what the event streams said, per worker. */
  indexStats() {
    return {
      ...this.#indexer.stats(),
      events: this.#indexer.counts(),
      workers: this.#workers.slots.map(({ id, dpRank, pod, slot }) => {
        const stream = this.#indexer.streamOf(slot);
        return { worker_id: id, dp_rank: dpRank, pod, blocks: this.#indexer.blocksOf(slot), last_event_id: stream?.lastEventId, gaps: stream?.gaps ?? 0 };
      }),
    };
  }

  /** What `examineRouter` looks at; the wiring adds what only it knows (model cards, expected workers). */
  health(): RouterHealth {
    const now = this.#clock();
    const workers = this.#workers.slots.map(({ id, dpRank, pod, slot }) => {
      const stream = this.#indexer.streamOf(slot);
      const sinceLastEventMs = stream?.lastEventAt === undefined ? undefined : now - stream.lastEventAt;
      return { worker_id: id, dp_rank: dpRank, pod, storesExpected: this.#storesExpected.get(slot) ?? 0, sinceLastEventMs, openGap: stream?.openGap };
    });
    return { mode: this.mode, kvEvents: this.kvEvents, blockSize: this.blockSize, events: this.#indexer.counts(), workers };
  }

  /** What is running where, as far as this router sent it. */
  loads(): (WorkerLoad & { worker_id: string; dp_rank: number; pod: string | undefined })[] {
    return this.#workers.slots.map(({ id, dpRank, pod, slot }) => ({ worker_id: id, dp_rank: dpRank, pod, ...this.#active.loadOf(slot) }));
  }

  /** The ranks that may take a request now. Throws as `route` does. */
  eligible(constraints: WorkerConstraints): ReturnType<typeof eligibleWorkers> {
    return eligibleWorkers(constraints, { mode: this.mode, workers: this.#workers, active: this.#active, busy: this.#busy });
  }

  worker(workerId: bigint): WorkerDescription | undefined {
    return this.#workers.get(workerId);
  }

  loadOf(slot: number): WorkerLoad {
    return this.#active.loadOf(slot);
  }

  /** Called whenever a worker may have become freer: the queue looks again. */
  onLoadChange(listener: () => void): Disposable {
    this.#loadListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#loadListeners.delete(listener) };
  }

  /** Called for every request of this router that starts, has its first token, or ends: for its replicas. */
  onSequenceEvent(listener: (event: SequenceEvent) => void): Disposable {
    this.#sequenceListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#sequenceListeners.delete(listener) };
  }

  /** What a replica told. False for our own events coming back, unknown workers and requests, and events seen before. */
  applySequenceEvent(event: SequenceEvent): boolean {
    if (event.routerId === this.routerId) return false;
    const requestId = replicaRequestId(event);
    if (event.type === 'add') {
      const slot = this.#workers.find(event.workerId, event.dpRank);
      const { sequence, prefillTokens } = event;
      return slot !== undefined && this.#active.add({ requestId, slot, sequence, prefillTokens, newBlocks: 0 }, this.#clock());
    }
    const applied = event.type === 'free' ? this.#active.free(requestId) : this.#active.prefillCompleted(requestId);
    if (applied) this.#loadChanged();
    return applied;
  }

  #own(requestId: string): { routerId: string; requestId: string } {
    return { routerId: this.routerId, requestId };
  }

  #tellReplicas(event: SequenceEvent): void {
    for (const listener of this.#sequenceListeners) listener(event);
  }

  #loadChanged(): void {
    for (const listener of this.#loadListeners) listener();
  }

  #purgeStaleNowAndThen(): void {
    const now = this.#clock();
    if (now - this.#purgedAt < PURGE_INTERVAL_MS) return;
    this.#purgedAt = now;
    this.#active.purgeStale(now);
  }
}
