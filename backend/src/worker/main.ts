import { setTimeout as sleep } from 'node:timers/promises';
import { createLlmEngine } from '../engine/index.ts';
import { loggerFromEnv, openLogLines } from '../observability/index.ts';
import { CommandLineExit } from '../runtime/commandLine.ts';
import { parseWorkerArguments } from './arguments.ts';
import { EngineDeadError } from './engineDeadError.ts';
import { Worker } from './worker.ts';

/** What still runs when the engine is dead gets so long to end. */
const deadEngineGraceMs = 1_000;
/** And the engine itself so long to stop. */
const deadEngineEndMs = 10_000;

/** `python3 -m dynamo.vllm`: runs one worker until SIGTERM or SIGINT; a second signal ends it at once. */
async function main(): Promise<number> {
  const lines = openLogLines();
  process.on('exit', lines.flushSync);
  const logger = loggerFromEnv('dynamo::vllm', process.env, lines.write);
  const stop = new AbortController();
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        if (stop.signal.aborted) process.exit(1);
        stop.abort(new Error(`${name} received`));
        resolve(name);
      });
    }
  });
  try {
    const flags = parseWorkerArguments(process.argv.slice(2));
    const worker = await Worker.start({ flags, logger, createEngine: createLlmEngine, signal: stop.signal });
    const end = await Promise.race([stopped, worker.failed]);
    if (end instanceof EngineDeadError) {
      logger.error('the engine is dead, ending the process so that it is started anew');
      const late = sleep(deadEngineEndMs, 'late', { ref: false });
      if ((await Promise.race([worker.close(deadEngineGraceMs), late])) !== 'late') return 1;
      // The model's thread does not come back, and an orderly exit would wait for it.
      logger.error('the model does not stop, killing the process');
      lines.flushSync();
      process.kill(process.pid, 'SIGKILL');
    }
    logger.info(`${end} received, shutting down`);
    await worker.close(Number(process.env['DYN_GRACEFUL_SHUTDOWN_TIMEOUT'] ?? 30) * 1000);
    return 0;
  } catch (error) {
    if (error instanceof CommandLineExit) {
      (error.exitCode === 0 ? process.stdout : process.stderr).write(error.output);
      return error.exitCode;
    }
    if (stop.signal.aborted) return 0;
    logger.error(`worker failed: ${error instanceof Error ? error.message : String(error)}`);
    if (error instanceof Error && !('code' in error)) logger.error(error.stack ?? '');
    return 1;
  }
}

process.exitCode = await main();
