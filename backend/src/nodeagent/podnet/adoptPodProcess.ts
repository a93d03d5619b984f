import { setTimeout as sleep } from 'node:timers/promises';
import { readExitRecord } from './exitRecord.ts';
import type { ExitStatus, PodProcess } from './podNet.ts';
import { childrenOf, commandLine, isAlive } from './processStat.ts';
import { signalPodProcess } from './spawnPodProcess.ts';

/** How often an adopted process is looked at; it is no child of ours, so no event tells of its end. */
const pollMs = 200;

/** Takes over a detached process of the sandbox `marker` from an earlier agent; `undefined` if it is gone or is another one. */
export function adoptPodProcess(pid: number, startTime: number, options: { marker: string; ownsNamespace: boolean }): PodProcess | undefined {
  const [, command, marker, exitFile] = commandLine(pid);
  if (command !== 'run' || marker !== options.marker || exitFile === undefined || !isAlive({ pid, startTime })) return undefined;
  const inner = childrenOf(pid)[0];
  return {
    pid,
    startTime,
    exited: waitForExit({ pid, startTime }, exitFile),
    kill: (signal) => signalPodProcess({ pid, startTime }, signal, inner === undefined ? pid : options.ownsNamespace ? inner : -inner),
  };
}

async function waitForExit(identity: { pid: number; startTime: number }, exitFile: string): Promise<ExitStatus> {
  while (isAlive(identity)) await sleep(pollMs, undefined, { ref: false });
  // Only a killed podinit leaves no record, and then the program died with it.
  return readExitRecord(exitFile) ?? { exitCode: 137, signal: 9 };
}
