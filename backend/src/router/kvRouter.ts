import { localBlockHashes, sequenceHashes, InvalidBlockSizeError } from '../protocol/blockHash.ts';
import type { CandidateScore, RouterEvent, RouterMode, RouterWeights, RoutingDecision } from '../protocol/index.ts';
import { ActiveSequences, type WorkerLoad } from './activeSequences.ts';
import { CHOOSERS } from './chooseWorker.ts';
import { COST_FORMULAS, type CostFormulaName, effectiveCachedTokens } from './costFormula.ts';
import { DecisionStore } from './decisionStore.ts';
import { explainDecision } from './explain.ts';
import { type ApplyResult, type EventRecovery, KvIndexer, type TierOverlap } from './kvIndexer.ts';
import { MapPrefixIndex } from './mapPrefixIndex.ts';
import type { PrefixIndex } from './prefixIndex.ts';
import { RouterError } from './routerError.ts';
import { resolveWeights, type ResolvedWeights } from './routerWeights.ts';
import { SeededRandom } from './seededRandom.ts';
import { rankName } from './whatIf.ts';
import { type WorkerDescription, type WorkerSlot, WorkerTable } from './workerTable.ts';

export interface KvRouterOptions {
  mode: RouterMode;
  /** Tokens per KV block; must be the workers' own, or nothing ever matches. */
  blockSize: number;
  weights?: Partial<RouterWeights>;
  /** Default `linear`, Dynamo 1.6's. */
  formula?: CostFormulaName;
  /** Seed of ties and samples; without one, each router draws its own. */
  seed?: bigint;
  /** How many decisions are kept. Default 1000. */
  decisions?: number;
  /** Requests that nobody freed are dropped after this time. Default one hour. */
  staleAfterMs?: number;
  /** Prompts above this are refused with PROMPT_TOO_LONG before any work is done. Default 1,048,576 tokens. */
  maxPromptTokens?: number;
  /** Default: the readable TypeScript index. */
  createIndex?: () => PrefixIndex;
  /** Milliseconds, monotonic. */
  clock?: () => number;
}

export interface RouteRequest {
  requestId: string;
  model: string;
  tokens: ArrayLike<number>;
  loraName?: string;
  cacheSalt?: string;
  /** Only this worker (and rank). */
  pin?: { workerId: bigint; dpRank?: number };
  /** Only these workers. */
  allowedWorkers?: ReadonlySet<bigint>;
  /** Weights for this request only. */
  overrides?: Partial<RouterWeights>;
  /** Decide and record, but add no load: nothing will be sent. */
  queryOnly?: boolean;
}

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
  readonly #workers = new WorkerTable();
  readonly #indexer: KvIndexer;
  readonly #active: ActiveSequences;
  readonly #random: SeededRandom;
  readonly #clock: () => number;
  readonly #maxPromptTokens: number;
  #sequence = 0;
  #turn = 0;
  #purgedAt: number;

  /** Throws `RouterError` INVALID_ROUTER_CONFIG and `InvalidBlockSizeError`. */
  constructor(options: KvRouterOptions) {
    const { mode, blockSize, formula = 'linear', seed = randomSeed(), createIndex = () => new MapPrefixIndex() } = options;
    if (!Object.hasOwn(CHOOSERS, mode))
      throw new RouterError('INVALID_ROUTER_CONFIG', `Unknown router mode \`${mode}\`; known: ${Object.keys(CHOOSERS).join(', ')}`);
    if (!Object.hasOwn(COST_FORMULAS, formula))
      throw new RouterError('INVALID_ROUTER_CONFIG', `Unknown cost formula \`${formula}\`; known: ${Object.keys(COST_FORMULAS).join(', ')}`);
    if (!Number.isSafeInteger(blockSize) || blockSize < 1) throw new InvalidBlockSizeError(blockSize);
    this.mode = mode;
    this.blockSize = blockSize;
    this.formula = formula;
    this.weights = resolveWeights(options.weights);
    this.decisions = new DecisionStore(options.decisions);
    this.#indexer = new KvIndexer({ workers: this.#workers, createIndex });
    this.#active = new ActiveSequences(options.staleAfterMs === undefined ? {} : { staleAfterMs: options.staleAfterMs });
    this.#random = new SeededRandom(seed);
    this.#clock = options.clock ?? (() => performance.now());
    this.#maxPromptTokens = options.maxPromptTokens ?? 1_048_576;
    this.#purgedAt = this.#clock();
  }

  /** Replaces the set of workers. What is known of those that went (blocks, load) is dropped. */
  setWorkers(workers: readonly WorkerDescription[]): void {
    const { added, removed } = this.#workers.set(workers);
    this.#indexer.removeSlots(removed);
    for (const { slot } of removed) this.#active.removeSlot(slot);
    this.#indexer.addSlots(added, this.#clock());
  }

  /** Never throws: bad events are counted (`indexStats().events`) and named in the result. */
  applyEvent(event: RouterEvent): ApplyResult {
    return this.#indexer.apply(event, this.#clock());
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

  /** Throws `RouterError` when nobody may take the request; its `gate` says which rule refused. */
  route(request: RouteRequest): RoutingDecision {
    const start = performance.now();
    if (request.tokens.length === 0) throw new RouterError('EMPTY_PROMPT', 'A prompt needs at least one token');
    if (request.tokens.length > this.#maxPromptTokens) {
      throw new RouterError('PROMPT_TOO_LONG', `Prompt of ${request.tokens.length} tokens exceeds the router's limit of ${this.#maxPromptTokens}`);
    }
    const weights = request.overrides ? resolveWeights(request.overrides, this.weights) : this.weights;
    this.#purgeStaleNowAndThen();
    const slots = this.#eligible(request);
    const sequence = sequenceHashes(localBlockHashes(request.tokens, this.blockSize, request));
    const hashed = performance.now();
    const overlap = this.#indexer.findMatches(sequence);
    const matched = performance.now();
    const candidates = this.#score(slots, sequence, overlap, request.tokens.length, weights);
    const pinned = request.pin !== undefined && candidates.length === 1;
    const selection = CHOOSERS[this.mode]({ candidates, turn: this.#turn, temperature: weights.temperature, random: this.#random });
    const winner = candidates[selection.index]!;
    const slot = slots[selection.index]!;
    const scored = performance.now();
    const named = (candidate: CandidateScore): string => rankName(candidate.worker_id, candidate.dp_rank);
    const tied = selection.tied.map((index) => named(candidates[index]!));
    const decision: RoutingDecision = {
      sequence: this.#sequence++,
      request_id: request.requestId,
      time: new Date().toISOString(),
      model: request.model,
      mode: this.mode,
      block_size: this.blockSize,
      isl_tokens: request.tokens.length,
      request_blocks: sequence.length,
      formula: this.#usesCost ? this.formula : 'none',
      weights,
      candidates,
      chosen: {
        worker_id: winner.worker_id,
        dp_rank: winner.dp_rank,
        ...(winner.pod === undefined ? {} : { pod: winner.pod }),
        overlap_blocks: winner.overlap_blocks,
        cost: winner.cost,
      },
      tied,
      reason: explainDecision({ mode: this.mode, requestBlocks: sequence.length, candidates, winner, tied, temperature: weights.temperature, pinned }),
      round_robin_choice: named(candidates[this.#turn % candidates.length]!),
      timing_us: microseconds({ start, hashed, matched, scored, end: performance.now() }),
    };
    if (!request.queryOnly) {
      this.#turn++;
      const prefillTokens = Math.max(request.tokens.length - effectiveCachedTokens(winner, weights, this.blockSize), 0);
      this.#active.add({ requestId: request.requestId, slot, sequence, prefillTokens }, this.#clock());
    }
    this.decisions.add(decision);
    return decision;
  }

  /** The first token is there: the prompt is no load any more. */
  prefillCompleted(requestId: string): void {
    this.#active.prefillCompleted(requestId);
  }

  /** The answer grew by `blocks` KV blocks. */
  outputBlocks(requestId: string, blocks: number): void {
    this.#active.addOutputBlocks(requestId, blocks);
  }

  /** The request ended, however it did. Calling it again, or for an unknown id, does nothing. */
  free(requestId: string, outcome?: RoutingDecision['outcome']): void {
    this.#active.free(requestId);
    if (outcome) this.decisions.complete(requestId, outcome);
  }

  /** What the index holds and what the event streams said, per worker. */
  indexStats() {
    return {
      ...this.#indexer.stats(),
      events: Object.fromEntries(this.#indexer.counts),
      workers: this.#workers.slots.map(({ id, dpRank, pod, slot }) => {
        const stream = this.#indexer.streamOf(slot);
        return { worker_id: id, dp_rank: dpRank, pod, blocks: this.#indexer.blocksOf(slot), last_event_id: stream?.lastEventId, gaps: stream?.gaps ?? 0 };
      }),
    };
  }

  /** What is running where, as far as this router sent it. */
  loads(): (WorkerLoad & { worker_id: string; dp_rank: number; pod: string | undefined })[] {
    return this.#workers.slots.map(({ id, dpRank, pod, slot }) => ({ worker_id: id, dp_rank: dpRank, pod, ...this.#active.loadOf(slot) }));
  }

  get #usesCost(): boolean {
    return this.mode === 'kv' || this.mode === 'direct';
  }

  #eligible({ pin, allowedWorkers }: RouteRequest): readonly WorkerSlot[] {
    if (this.mode === 'direct' && !pin) throw new RouterError('PIN_REQUIRED', 'Router mode `direct` needs a worker id with every request');
    let slots = this.#workers.slots;
    if (allowedWorkers) slots = slots.filter(({ workerId }) => allowedWorkers.has(workerId));
    if (pin) {
      slots = slots.filter(({ workerId, dpRank }) => workerId === pin.workerId && (pin.dpRank === undefined || dpRank === pin.dpRank));
      if (slots.length === 0) {
        const rank = pin.dpRank === undefined ? '' : ` with dp rank ${pin.dpRank}`;
        throw new RouterError('PINNED_WORKER_NOT_FOUND', `No worker ${pin.workerId}${rank}`);
      }
    }
    if (slots.length === 0) throw new RouterError('NO_WORKERS', 'No worker is ready for this model');
    return slots;
  }

  #score(slots: readonly WorkerSlot[], sequence: BigUint64Array, overlap: TierOverlap, islTokens: number, weights: ResolvedWeights): CandidateScore[] {
    const loads = slots.map(({ slot }) => this.#active.loadOf(slot));
    let minActivePrefillTokens = Infinity;
    for (const { activePrefillTokens } of loads) minActivePrefillTokens = Math.min(minActivePrefillTokens, activePrefillTokens);
    const context = { islTokens, blockSize: this.blockSize, minActivePrefillTokens, weights };
    const formula = COST_FORMULAS[this.formula];
    return slots.map(({ slot, id, dpRank, pod }, i) => {
      const load = loads[i]!;
      const hostOverlapBlocks = overlap.host(slot);
      const diskOverlapBlocks = overlap.disk(slot);
      const common = {
        worker_id: id,
        dp_rank: dpRank,
        ...(pod === undefined ? {} : { pod }),
        overlap_blocks: overlap.device[slot]!,
        ...(hostOverlapBlocks > 0 ? { host_overlap_blocks: hostOverlapBlocks } : {}),
        ...(diskOverlapBlocks > 0 ? { disk_overlap_blocks: diskOverlapBlocks } : {}),
        active_prefill_tokens: load.activePrefillTokens,
        active_decode_blocks: load.activeDecodeBlocks,
        active_requests: load.activeRequests,
      };
      if (!this.#usesCost) return { ...common, terms: {}, cost: null };
      const additionalDecodeBlocks = this.#active.additionalBlocks(slot, sequence);
      const inputs = { ...load, deviceOverlapBlocks: overlap.device[slot]!, hostOverlapBlocks, diskOverlapBlocks, additionalDecodeBlocks };
      return { ...common, additional_decode_blocks: additionalDecodeBlocks, ...formula(inputs, context) };
    });
  }

  #purgeStaleNowAndThen(): void {
    const now = this.#clock();
    if (now - this.#purgedAt < PURGE_INTERVAL_MS) return;
    this.#purgedAt = now;
    this.#active.purgeStale(now);
  }
}

function microseconds({
  start,
  hashed,
  matched,
  scored,
  end,
}: Record<'start' | 'hashed' | 'matched' | 'scored' | 'end', number>): RoutingDecision['timing_us'] {
  const us = (from: number, to: number): number => Math.round((to - from) * 1e4) / 10;
  return { hashing: us(start, hashed), find_matches: us(hashed, matched), scoring: us(matched, scored), total: us(start, end) };
}

function randomSeed(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]!;
}
