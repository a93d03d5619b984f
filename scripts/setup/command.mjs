import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, createWriteStream, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { explainFailure } from './explain.mjs';
import { logFile, projectDir, toolsDir } from './paths.mjs';
import { startTime } from './setupLock.mjs';
import { SetupError } from './setupError.mjs';

/** `<pid> <start time>` of the program that runs now: a killed set-up leaves it behind, and the next one ends it. */
const runningFile = path.join(toolsDir, 'running');

/**
 * Runs a program; its output goes to the set-up log. A failure becomes one `SetupError` that names the cause.
 * @param {string[]} argv
 * @param {{ what: string, cwd?: string, env?: Record<string, string>, timeoutMs?: number }} options
 */
export function run(argv, options) {
  const [program = '', ...args] = argv;
  appendFileSync(logFile, `\n$ ${argv.join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd ?? projectDir,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, so that it can be ended with all that it started.
      detached: true,
      timeout: options.timeoutMs ?? 20 * 60_000,
      killSignal: 'SIGKILL',
    });
    if (child.pid !== undefined) writeFileSync(runningFile, `${child.pid} ${startTime(child.pid)}`);
    const log = createWriteStream(logFile, { flags: 'a' });
    let tail = '';
    const keep = (chunk) => {
      log.write(chunk);
      tail = (tail + chunk.toString('utf8')).slice(-16_384);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const stop = () => endGroup(child.pid);
    process.once('exit', stop);
    child.once('error', (error) => reject(new SetupError(`${options.what}: ${program} cannot be run: ${error.message}`)));
    child.once('close', (code, signal) => {
      process.off('exit', stop);
      rmSync(runningFile, { force: true });
      log.end();
      if (code === 0) return resolve(tail);
      const how = signal === null ? `exit code ${code}` : signal === 'SIGKILL' ? `ended after ${(options.timeoutMs ?? 20 * 60_000) / 60_000} minutes` : signal;
      reject(explainFailure(options.what, how, tail));
    });
  });
}

/** Ends the program of a set-up that was killed, before it meets the one that is about to start. */
export async function endAbandoned() {
  let recorded;
  try {
    recorded = readFileSync(runningFile, 'utf8').split(' ');
  } catch {
    return;
  }
  const [pid = '', started = ''] = recorded;
  for (let attempt = 0; attempt < 100 && startTime(Number(pid)) === started; attempt++) {
    endGroup(Number(pid));
    await sleep(50);
  }
  rmSync(runningFile, { force: true });
}

/** @param {number | undefined} pid */
function endGroup(pid) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended already.
  }
}

/** stdout of a short program, or `undefined` where it is missing or fails. @param {string[]} argv */
export function output(argv) {
  const [program = '', ...args] = argv;
  const result = spawnSync(program, args, { encoding: 'utf8', timeout: 30_000, stdio: ['ignore', 'pipe', 'pipe'] });
  return result.status === 0 ? result.stdout.trim() : undefined;
}
