import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Progress } from '../../../scripts/setup/progress.mjs';
import { isAlive, type ProcessEvent, readRecord, StackRunningError, startLocalStack, stateLayout, type StateLayout } from '../controlplane/index.ts';
import { findOnPath } from '../controlplane/programVersion.ts';
import { prepareAssets } from './prepareAssets.ts';
import { numberOption, partsOption, podNetOption } from './startOptions.ts';

/** Runs the whole stack in the foreground until Ctrl-C, SIGTERM or `npm stop`. */
export async function start(args: string[], signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({ args, options: { nodes: { type: 'string' }, gpus: { type: 'string' }, parts: { type: 'string' } } });
  const layout = stateLayout();
  if (await tellIfRunning(layout)) return 0;
  const began = performance.now();
  const progress = new Progress();
  const again = (): void => progress.line('  Still stopping: every program is being ended in order.');
  const stopped = aborted(signal).then(() => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, again);
  });
  try {
    const { kubernetes } = await prepareAssets({ layout, progress, signal });
    const stack = await startLocalStack({
      layout,
      binaries: kubernetes,
      parts: partsOption(values.parts),
      nodes: numberOption('--nodes', values.nodes ?? process.env['DYNAMO_LABS_NODES'], 1, 64),
      gpus: numberOption('--gpus', values.gpus ?? process.env['DYNAMO_LABS_GPUS'], 8, 1024),
      nodePortAddress: process.env['DYNAMO_LABS_NODEPORT_ADDRESS'] ?? '127.0.0.1',
      podNet: podNetOption(process.env['DYNAMO_LABS_PODNET']),
      signal,
      onStep: (step) => {
        if (step.type === 'begin') progress.begin(step.step, step.waitsFor);
        else if (step.type === 'end') progress.end(step.step, step.result);
        else progress.fail(step.step);
      },
      onEvent: (event) => tell(progress, event),
    });
    progress.stop();
    progress.line(welcome({ url: stack.url, layout, kubectl: stack.binaries.kubectl, seconds: (performance.now() - began) / 1000 }));
    await stopped;
    progress.begin('stopping', 'every program to end');
    await stack.stop();
    progress.end('stopping');
    return 0;
  } catch (error) {
    progress.stop();
    if (error instanceof StackRunningError && (await tellIfRunning(layout))) return 0;
    if (signal.aborted) {
      progress.line('  Stopped before everything had started; nothing is left running.');
      return 130;
    }
    throw error;
  } finally {
    progress.stop();
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, again);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Prints the URL of the stack that runs already, waiting for one that is about to be ready. False when none runs. */
async function tellIfRunning(layout: StateLayout): Promise<boolean> {
  let record = readRecord(layout);
  if (record === undefined || !isAlive(record)) return false;
  if (!record.ready) process.stdout.write(`Dynamo Labs is starting already (process ${record.pid}): waiting for it.\n`);
  const deadline = Date.now() + 15 * 60_000;
  while (record !== undefined && isAlive(record) && !record.ready && Date.now() < deadline) {
    await sleep(250);
    record = readRecord(layout);
  }
  if (record === undefined || !isAlive(record)) return false;
  process.stdout.write(
    `Dynamo Labs runs already (process ${record.pid}). Open:\n\n  ${record.url ?? '(no JupyterLab)'}\n\nnpm stop ends it, npm run status shows its parts.\n`,
  );
  return true;
}

function tell(progress: Progress, event: ProcessEvent): void {
  if (event.type === 'died') {
    progress.line(`  ! ${event.name} ${event.how}: it is started again in ${event.retryInMs / 1000} s.${event.log === '' ? '' : `\n${event.log}`}`);
  } else if (event.type === 'recovered') {
    progress.line(`  ✓ ${event.name} runs again.`);
  }
}

function welcome(options: { url: string | undefined; layout: StateLayout; kubectl: string; seconds: number }): string {
  const { url, layout, kubectl, seconds } = options;
  const onPath = findOnPath('kubectl', process.env['PATH'] ?? '') !== undefined;
  const page = url === undefined ? 'JupyterLab does not run (--parts).' : `Open:\n\n  ${url}`;
  return `
Dynamo Labs is ready (${seconds.toFixed(1)} s). ${page}

What next   follow the first notebook, step by step; the Labs panel on the left checks each step on the live cluster
kubectl     export KUBECONFIG=${quoted(layout.kubeconfig)}${onPath ? '' : ` PATH="${path.dirname(kubectl)}:$PATH"`}
Status      npm run status
Stop        Ctrl-C here, or npm stop
`;
}

/** As a word of a shell line. */
function quoted(file: string): string {
  return /^[\w./@%+=:,-]+$/.test(file) ? file : `'${file.replaceAll("'", `'\\''`)}'`;
}
