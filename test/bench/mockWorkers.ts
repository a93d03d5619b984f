import { loggerFromEnv } from '../../backend/src/observability/index.ts';
import { parseWorkerArguments } from '../../backend/src/worker/arguments.ts';
import { Worker } from '../../backend/src/worker/worker.ts';
import { MockEngine } from './mockEngine.ts';

/** A process of several workers without a model behind them: `node mockWorkers.ts COUNT [worker flags]`. Ends on SIGTERM. */
const [count = '1', ...argv] = process.argv.slice(2);
const logger = loggerFromEnv('dynamo::vllm');
const flags = parseWorkerArguments(argv);
const workers = await Promise.all(
  Array.from({ length: Number(count) }, () => Worker.start({ flags, logger, createEngine: async (options) => new MockEngine(options) })),
);
console.log('mock workers ready');
process.once('SIGTERM', () => void Promise.all(workers.map((worker) => worker.close(0))).then(() => process.exit(0)));
