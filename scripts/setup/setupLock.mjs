import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { toolsDir } from './paths.mjs';
import { SetupError } from './setupError.mjs';

const lock = path.join(toolsDir, 'setup.lock');

/**
 * Two set-ups in one folder would undo each other: the second waits for the first. Resolves with the release.
 * @param {(pid: number) => void} onWait
 */
export async function acquireSetupLock(onWait) {
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, `${process.pid} ${startTime(process.pid)}`);
  const deadline = Date.now() + 30 * 60_000;
  let told = false;
  try {
    for (;;) {
      try {
        linkSync(mine, lock);
        return () => rmSync(lock, { force: true });
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const [pid = '0', started = ''] = (read() ?? '').split(' ');
      if (startTime(Number(pid)) !== started) {
        rmSync(lock, { force: true });
        continue;
      }
      if (!told) onWait(Number(pid));
      told = true;
      if (Date.now() > deadline) throw new SetupError(`Another set-up (process ${pid}) has been running in this folder for 30 minutes.`, `kill ${pid}`);
      await sleep(200);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

function read() {
  try {
    return readFileSync(lock, 'utf8');
  } catch {
    return undefined;
  }
}

/** With the pid it names a process for ever; where /proc is missing only the pid counts. @param {number} pid */
export function startTime(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return undefined;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return 'running';
  }
}
