import type { RouterMode, RouterWeights } from '../../protocol/index.ts';
import type { CostFormulaName } from '../costFormula.ts';
import { KvRouter } from '../kvRouter.ts';
import type { RouterKernels } from '../routerKernels.ts';
import { TYPESCRIPT_KERNELS } from '../routerKernels.ts';
import type { TraceRequest } from './mooncakeTrace.ts';
import { SimulatedWorker, type WorkerShape } from './simulatedWorker.ts';
import { TracePrompts } from './tracePrompts.ts';

export interface SimulationOptions {
  trace: readonly TraceRequest[];
  /** Tokens that one hash id of the trace stands for. Default 512. */
  traceBlockTokens?: number;
  workers: number;
  shape: WorkerShape;
  mode: RouterMode;
  formula?: CostFormulaName;
  weights?: Partial<RouterWeights>;
  seed?: bigint;
  kernels?: RouterKernels;
}

/** Times in milliseconds of simulated time. */
export interface RequestRecord {
  worker: number;
  arrival: number;
  firstToken: number;
  end: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

export interface Simulation {
  mode: RouterMode;
  requests: RequestRecord[];
  /** Requests larger than a worker's whole cache. */
  refused: number;
}

/** Runs a trace through the real router and simulated workers. Nothing waits, nothing is random but the seeded ties: same input, same result. */
export function simulate({
  trace,
  traceBlockTokens = 512,
  workers: count,
  shape,
  mode,
  formula,
  weights,
  seed = 1n,
  kernels = TYPESCRIPT_KERNELS,
}: SimulationOptions): Simulation {
  const router = new KvRouter({
    mode,
    blockSize: shape.blockSize,
    seed,
    kernels,
    decisions: 1,
    ...(formula ? { formula } : {}),
    ...(weights ? { weights } : {}),
  });
  router.setWorkers(Array.from({ length: count }, (_, i) => ({ workerId: BigInt(i) })));
  const prompts = new TracePrompts({ kernels, blockSize: shape.blockSize, traceBlockTokens });
  const eventIds = new Array<number>(count).fill(0);
  const workers = Array.from(
    { length: count },
    (_, worker) =>
      new SimulatedWorker(shape, prompts, (data) => {
        router.applyEvent({ workerId: BigInt(worker), storageTier: 'device', event: { eventId: eventIds[worker]!++, dpRank: 0, data } });
      }),
  );
  /** End of the step each worker is in; `Infinity` while it is idle. */
  const stepEnds = new Array<number>(count).fill(Infinity);
  const finishing = new Array<ReturnType<SimulatedWorker['step']>['outputs']>(count).fill([]);
  const records = new Map<string, RequestRecord>();
  const simulation: Simulation = { mode, requests: [], refused: 0 };

  const beginStep = (worker: number, now: number): void => {
    const { durationMs, outputs } = workers[worker]!.step();
    stepEnds[worker] = now + durationMs;
    finishing[worker] = outputs;
  };
  const endStep = (worker: number, now: number): void => {
    for (const { id, first, last, cachedTokens } of finishing[worker]!) {
      const record = records.get(id)!;
      if (first) {
        record.firstToken = now;
        record.cachedTokens = cachedTokens;
        router.prefillCompleted(id);
      }
      if (!last) continue;
      record.end = now;
      router.free(id);
      records.delete(id);
      simulation.requests.push(record);
    }
    if (workers[worker]!.idle) stepEnds[worker] = Infinity;
    else beginStep(worker, now);
  };
  const arrive = (index: number, request: TraceRequest): void => {
    const id = `r${index}`;
    const { input_length: inputTokens, output_length: outputTokens, timestamp: arrival } = request;
    const { local, sequence, numbers } = prompts.blocksOf(request);
    const { chosen } = router.route({ requestId: id, model: 'trace', tokens: { length: inputTokens }, hashes: { local, sequence } });
    const worker = Number(chosen.worker_id);
    if (!workers[worker]!.add({ id, inputTokens, outputTokens, local, sequence, numbers })) {
      router.free(id);
      simulation.refused++;
      return;
    }
    records.set(id, { worker, arrival, firstToken: 0, end: 0, inputTokens, cachedTokens: 0, outputTokens });
    if (stepEnds[worker] === Infinity) beginStep(worker, arrival);
  };

  for (let next = 0; ;) {
    const worker = stepEnds.indexOf(Math.min(...stepEnds));
    const arrival = trace[next]?.timestamp ?? Infinity;
    if (arrival === Infinity && stepEnds[worker] === Infinity) return simulation;
    if (arrival <= stepEnds[worker]!) arrive(next, trace[next++]!);
    else endStep(worker, stepEnds[worker]!);
  }
}
