import { parseArgs } from 'node:util';
import { stackStatus, type StackStatus } from '../controlplane/stackStatus.ts';
import { stateLayout } from '../controlplane/stateLayout.ts';

/** Prints each process with state, pid, memory, ports and log. `--json` is a stable interface. */
export async function status(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { json: { type: 'boolean' } } });
  const current = stackStatus(stateLayout());
  process.stdout.write(values.json === true ? `${JSON.stringify(current, null, 2)}\n` : table(current));
  return 0;
}

function table(current: StackStatus): string {
  if (current.processes.length === 0) return 'Dynamo Labs does not run. Start it: npm start\n';
  const rows = current.processes.map((entry) => [
    entry.name,
    entry.state,
    entry.pid === null ? '-' : String(entry.pid),
    entry.rssBytes === null ? '-' : `${Math.round(entry.rssBytes / 2 ** 20)} MiB`,
    entry.ports.join(',') || '-',
    entry.log,
  ]);
  const all = [['PROCESS', 'STATE', 'PID', 'MEMORY', 'PORTS', 'LOG'], ...rows];
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const total = current.processes.reduce((sum, entry) => sum + (entry.rssBytes ?? 0), 0);
  return [
    ...lines,
    '',
    `ready       ${current.ready ? 'yes' : 'no'}`,
    `memory      ${Math.round(total / 2 ** 20)} MiB resident in all (shared pages count each time)`,
    `url         ${current.url ?? '-'}`,
    `kubeconfig  ${current.kubeconfig ?? '-'}`,
    `backend     ${current.backend ?? '-'}`,
    `pod network ${current.podNet ?? '-'}`,
    '',
  ].join('\n');
}
