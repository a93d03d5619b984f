import { loggerFromEnv, openLogLines } from '../observability/index.ts';
import { CommandLineExit } from '../runtime/commandLine.ts';
import { parseFrontendArguments } from './arguments.ts';
import { Frontend } from './frontend.ts';

/** `python3 -m dynamo.frontend`: serves HTTP until SIGTERM or SIGINT; a second signal ends it at once. */
async function main(): Promise<number> {
  const lines = openLogLines();
  process.on('exit', lines.flushSync);
  const logger = loggerFromEnv('dynamo::frontend', process.env, lines.write);
  let stopping = false;
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => {
        if (stopping) process.exit(1);
        stopping = true;
        resolve(name);
      });
    }
  });
  try {
    const flags = parseFrontendArguments(process.argv.slice(2));
    const frontend = await Frontend.start({ flags, logger });
    logger.info(`${await stopped} received, shutting down`);
    await frontend.close();
    return 0;
  } catch (error) {
    if (error instanceof CommandLineExit) {
      (error.exitCode === 0 ? process.stdout : process.stderr).write(error.output);
      return error.exitCode;
    }
    logger.error(`frontend failed: ${error instanceof Error ? error.message : String(error)}`);
    if (error instanceof Error && !('code' in error)) logger.error(error.stack ?? '');
    return 1;
  }
}

process.exitCode = await main();
