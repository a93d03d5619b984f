import { endSurvivors, isAlive, readRecord, stateLayout } from '../controlplane/index.ts';
import { waitGone } from '../controlplane/processIdentity.ts';
import { endPods } from '../nodeagent/podnet/endPods.ts';
import { CliError } from './cliError.ts';

/** Ends the stack that runs, or what a killed one left behind. */
export async function stop(): Promise<number> {
  const layout = stateLayout();
  const record = readRecord(layout);
  if (record !== undefined && isAlive(record)) {
    process.stdout.write(`Stopping Dynamo Labs (process ${record.pid}) …\n`);
    process.kill(record.pid, 'SIGTERM');
    if (!(await waitGone(record, 120_000))) {
      throw new CliError(
        `Dynamo Labs (process ${record.pid}) has not ended for two minutes.`,
        `kill -9 ${record.pid}; npm stop   # the second ends what the first leaves`,
      );
    }
    process.stdout.write('Stopped.\n');
    return 0;
  }
  const ended = await endSurvivors(layout);
  if ((await endPods(layout)) > 0) ended.push('pods');
  process.stdout.write(ended.length === 0 ? 'Dynamo Labs does not run.\n' : `Ended what an earlier run had left: ${ended.join(', ')}.\n`);
  return 0;
}
