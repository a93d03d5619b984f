import { explain } from './cliError.ts';
import { commands, usage } from './commands.ts';

// The terminal may be closed while a stack runs: its programs are still to be ended in order.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

const [name = 'help', ...args] = process.argv.slice(2);
const entry = commands[name];
if (entry === undefined) {
  const known = name === 'help' || name === '--help' || name === '-h';
  (known ? process.stdout : process.stderr).write(`${known ? '' : `There is no command "${name}".\n\n`}${usage()}`);
  process.exitCode = known ? 0 : 2;
} else {
  const abort = new AbortController();
  const stop = (signal: NodeJS.Signals): void => abort.abort(new Error(`stopped by ${signal}`));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  try {
    process.exitCode = await (await entry.load())(args, abort.signal);
  } catch (error) {
    const { message, mend } = explain(error);
    process.stderr.write(`\n${message}\n${mend === undefined ? '' : `\n  ${mend}\n`}\n`);
    if (process.env['DYNAMO_LABS_DEBUG'] !== undefined) console.error(error);
    process.exitCode = abort.signal.aborted ? 130 : 1;
  } finally {
    // Without listeners a second Ctrl-C ends a command that does not come to its end.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, stop);
  }
}
