import { localBlockHashes, sequenceHashes } from '../../backend/src/protocol/blockHash.ts';
import type { CandidateScore, KvCacheEventData, RouterWeights, StorageTier } from '../../backend/src/protocol/index.ts';
import { effectiveCachedTokens, KvRouter } from '../../backend/src/router/index.ts';

/** What `test/peers/record_dynamo_selection.py` writes: random states and what Dynamo's SelectionService made of them. */
export interface SelectionRecording {
  dynamo: string;
  blockSize: number;
  engineHashMask: string;
  scenarios: SelectionScenario[];
}

export interface SelectionScenario {
  weights: Partial<RouterWeights>;
  /** [worker id, dp ranks] */
  workers: [number, number][];
  /** Prompts as block ids. */
  paths: number[][];
  steps: SelectionStep[];
}

/**
 * s stored / r removed: worker, rank, path, from block, to block, tier. c cleared: worker, rank. m marker path on every rank, one block per tier.
 * q query / a reservation: request, path, blocks, tail tokens, chosen worker, chosen rank, then per rank overlap blocks on device, after that on host, after that on disk,
 * potential prefill tokens, potential decode blocks, active requests. p prefill complete, o output block, f freed: request.
 */
export type SelectionStep =
  | ['s' | 'r', number, number, number, number, number, StorageTier]
  | ['c', number, number]
  | ['m', number[], StorageTier[]]
  | ['q' | 'a', number, number, number, number, number, number, number[], number[], number[], number[], number[], number[]]
  | ['p' | 'o' | 'f', number];

export interface ReplayReport {
  selections: number;
  /** Selections where several workers shared the lowest cost, so that any of them is right. */
  ties: number;
  differences: string[];
}

/** Feeds a recorded scenario to our router and compares every answer. */
export function replayScenario(scenario: SelectionScenario, recording: Pick<SelectionRecording, 'blockSize' | 'engineHashMask'>): ReplayReport {
  const replay = new ScenarioReplay(scenario, recording.blockSize, BigInt(recording.engineHashMask));
  for (const [at, step] of scenario.steps.entries()) replay.run(step, at);
  return replay.report;
}

class ScenarioReplay {
  readonly report: ReplayReport = { selections: 0, ties: 0, differences: [] };
  readonly #scenario: SelectionScenario;
  readonly #blockSize: number;
  readonly #mask: bigint;
  readonly #router: KvRouter;
  readonly #eventIds = new Map<string, number>();

  constructor(scenario: SelectionScenario, blockSize: number, mask: bigint) {
    this.#scenario = scenario;
    this.#blockSize = blockSize;
    this.#mask = mask;
    this.#router = new KvRouter({ mode: 'kv', formula: 'linear', blockSize, weights: scenario.weights, seed: 1n, decisions: 1 });
    this.#router.setWorkers(scenario.workers.map(([id, dpRanks]) => ({ workerId: BigInt(id), dpRanks })));
  }

  run(step: SelectionStep, at: number): void {
    switch (step[0]) {
      case 's':
        return this.#publish(step[1], step[2], this.#stored(this.#scenario.paths[step[3]]!.slice(0, step[5]), step[4]), step[6]);
      case 'r':
        return this.#publish(
          step[1],
          step[2],
          { type: 'removed', blockHashes: this.#engineHashes(this.#scenario.paths[step[3]]!).slice(step[4], step[5]) },
          step[6],
        );
      case 'c':
        return this.#publish(step[1], step[2], { type: 'cleared' });
      case 'm':
        for (const [worker, ranks] of this.#scenario.workers) {
          for (let rank = 0; rank < ranks; rank++) {
            for (const [depth, tier] of step[2].entries()) this.#publish(worker, rank, this.#stored(step[1].slice(0, depth + 1), depth), tier);
          }
        }
        return;
      case 'p':
        return this.#router.prefillCompleted(`r${step[1]}`);
      case 'o':
        return this.#router.outputBlocks(`r${step[1]}`, 1);
      case 'f':
        return this.#router.free(`r${step[1]}`);
      default:
        return this.#select(step as Extract<SelectionStep, ['q' | 'a', ...unknown[]]>, at);
    }
  }

  #select(step: Extract<SelectionStep, ['q' | 'a', ...unknown[]]>, at: number): void {
    const [kind, request, path, blocks, tail, worker, rank, device, host, disk, prefillTokens, decodeBlocks, requests] = step;
    const tokens = [...this.#tokens(this.#scenario.paths[path]!.slice(0, blocks)), ...Array.from({ length: tail }, (_, i) => 1_000_000 + i)];
    const decision = this.#router.route({ requestId: `r${request}`, model: 'm', tokens, queryOnly: true });
    const chosen = rank === 0 ? String(worker) : `${worker}:${rank}`;
    this.report.selections++;
    if (decision.tied.length > 1) this.report.ties++;
    const compare = (what: string, ours: number[], theirs: number[]): void => {
      if (ours.join() !== theirs.join()) this.report.differences.push(`step ${at}: ${what} ours ${ours.join()} Dynamo's ${theirs.join()}`);
    };
    const { candidates } = decision;
    compare(
      'overlap blocks on device',
      candidates.map((candidate) => candidate.overlap_blocks),
      device,
    );
    compare(
      'overlap blocks on host',
      candidates.map((candidate) => candidate.host_overlap_blocks ?? 0),
      host,
    );
    compare(
      'overlap blocks on disk',
      candidates.map((candidate) => candidate.disk_overlap_blocks ?? 0),
      disk,
    );
    compare(
      'potential prefill tokens',
      candidates.map((candidate) => candidate.active_prefill_tokens + Math.max(tokens.length - cachedTokens(candidate, this.#router, this.#blockSize), 0)),
      prefillTokens,
    );
    compare(
      'potential decode blocks',
      candidates.map((candidate) => candidate.active_decode_blocks + candidate.additional_decode_blocks!),
      decodeBlocks,
    );
    compare(
      'active requests',
      candidates.map((candidate) => candidate.active_requests),
      requests,
    );
    if (!decision.tied.includes(chosen)) {
      this.report.differences.push(`step ${at}: chosen ours ${decision.tied.join('|')} Dynamo's ${chosen}; costs ${candidates.map(({ cost }) => cost).join()}`);
    }
    if (kind === 'a') this.#router.route({ requestId: `r${request}`, model: 'm', tokens, pin: { workerId: BigInt(worker), dpRank: rank } });
  }

  #publish(worker: number, dpRank: number, data: KvCacheEventData, storageTier: StorageTier = 'device'): void {
    const stream = `${worker}:${dpRank}`;
    const eventId = this.#eventIds.get(stream) ?? 0;
    this.#eventIds.set(stream, eventId + 1);
    this.#router.applyEvent({ workerId: BigInt(worker), storageTier, event: { eventId, dpRank, data } });
  }

  #stored(path: number[], from: number): KvCacheEventData {
    const local = localBlockHashes(this.#tokens(path), this.#blockSize);
    const engine = this.#engineHashes(path);
    const blocks = engine.map((blockHash, i) => ({ blockHash, tokensHash: local[i]! })).slice(from);
    return { type: 'stored', ...(from > 0 ? { parentHash: engine[from - 1]! } : {}), blocks };
  }

  #engineHashes(path: number[]): bigint[] {
    return Array.from(sequenceHashes(localBlockHashes(this.#tokens(path), this.#blockSize)), (hash) => hash ^ this.#mask);
  }

  #tokens(path: number[]): number[] {
    return path.flatMap((block) => Array.from({ length: this.#blockSize }, (_, i) => block * this.#blockSize + i));
  }
}

function cachedTokens({ overlap_blocks, host_overlap_blocks = 0, disk_overlap_blocks = 0 }: CandidateScore, { weights }: KvRouter, blockSize: number): number {
  const inputs = { deviceOverlapBlocks: overlap_blocks, hostOverlapBlocks: host_overlap_blocks, diskOverlapBlocks: disk_overlap_blocks };
  return effectiveCachedTokens(inputs, weights, blockSize);
}
