import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, createWriteStream } from 'node:fs';
import { explainFailure } from './explain.mjs';
import { logFile, projectDir } from './paths.mjs';
import { SetupError } from './setupError.mjs';

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
      timeout: options.timeoutMs ?? 20 * 60_000,
      killSignal: 'SIGKILL',
    });
    const log = createWriteStream(logFile, { flags: 'a' });
    let tail = '';
    const keep = (chunk) => {
      log.write(chunk);
      tail = (tail + chunk.toString('utf8')).slice(-16_384);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const stop = () => child.kill('SIGTERM');
    process.once('exit', stop);
    child.once('error', (error) => reject(new SetupError(`${options.what}: ${program} cannot be run: ${error.message}`)));
    child.once('close', (code, signal) => {
      process.off('exit', stop);
      log.end();
      if (code === 0) return resolve(tail);
      const how = signal === null ? `exit code ${code}` : signal === 'SIGKILL' ? `ended after ${(options.timeoutMs ?? 20 * 60_000) / 60_000} minutes` : signal;
      reject(explainFailure(options.what, how, tail));
    });
  });
}

/** stdout of a short program, or `undefined` where it is missing or fails. @param {string[]} argv */
export function output(argv) {
  const [program = '', ...args] = argv;
  const result = spawnSync(program, args, { encoding: 'utf8', timeout: 30_000, stdio: ['ignore', 'pipe', 'pipe'] });
  return result.status === 0 ? result.stdout.trim() : undefined;
}
