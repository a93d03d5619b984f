import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StateLayout } from '../../controlplane/stateLayout.ts';
import { podNetDir } from './createPodNet.ts';
import { sandboxVariable } from './loopback/loopbackSandbox.ts';
import { podinitProgram } from './podinit.ts';
import { allPids, commandLine, processStat } from './processStat.ts';
import { killProcess } from './sandboxStore.ts';

/** How long killed processes may take to disappear. */
const endDeadlineMs = 10_000;

/**
 * Ends every pod and the pod network of a state folder without a node agent: for a stop after the agent was killed. Must not
 * be called while one runs. Resolves with the number of processes that were found.
 */
export async function endPods(layout: StateLayout): Promise<number> {
  if (process.platform !== 'linux') return 0;
  const dir = podNetDir(layout);
  const deadline = Date.now() + endDeadlineMs;
  const ended = new Set<number>();
  for (let pids = processesOf(dir); pids.length > 0 && Date.now() < deadline; pids = processesOf(dir)) {
    for (const pid of pids) {
      ended.add(pid);
      killProcess(pid);
    }
    await sleep(10);
  }
  for (const folder of [dir, layout.transfer]) rmSync(folder, { recursive: true, force: true });
  return ended.size;
}

function processesOf(dir: string): number[] {
  const variable = `${sandboxVariable}=${dir}${path.sep}`;
  return allPids().filter((pid) => {
    const [program, , marker = ''] = commandLine(pid);
    const isHelper = program === podinitProgram && (marker === dir || marker.startsWith(dir + path.sep));
    return (isHelper || environment(pid).some((entry) => entry.startsWith(variable))) && processStat(pid) !== undefined;
  });
}

function environment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
