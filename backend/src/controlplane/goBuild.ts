import { execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { logTail } from './processError.ts';

/** The Go that assets/kubernetes/go.mod asks for. */
const neededGo = [1, 26] as const;

/** Go is missing, too old, or could not build. */
export class GoBuildError extends Error {
  readonly code = 'GO_BUILD';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GoBuildError';
  }
}

export interface GoBuildOptions {
  /** Holds go.mod and go.sum. */
  dir: string;
  /** `.` or an import path. */
  package: string;
  /** The program to write. */
  output: string;
  ldflags: string;
  logFile: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  /** Told what the build is at. */
  log: (note: string) => void;
}

/** Builds one program from modules whose digests are in go.sum, so that it does not matter where they come from. */
export async function goBuild(options: GoBuildOptions): Promise<void> {
  await checkGo(options.env, options.signal);
  const env = { ...options.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' };
  options.log('downloads the Go modules');
  await runGo(['mod', 'download'], options, env, () => {});
  options.log('lists the Go packages');
  const listed = await promisify(execFile)('go', ['list', '-deps', options.package], {
    cwd: options.dir,
    env,
    signal: options.signal,
    maxBuffer: 64 * 2 ** 20,
  });
  const total = listed.stdout.trim().split('\n').length;
  let compiled = 0;
  const args = ['build', '-v', '-trimpath', '-p', '2', '-ldflags', options.ldflags, '-o', options.output, options.package];
  // `-v` names each package on stderr when its turn comes.
  await runGo(args, options, env, (line) => {
    if (!/^[\w.~-]+(\/[\w.~-]+)*$/.test(line)) return;
    compiled++;
    options.log(compiled < total ? `compiles Go packages: ${compiled} of ${total}` : 'links the program');
  });
}

async function checkGo(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  const needs = `Go ${neededGo.join('.')} or newer is needed to build it`;
  const result = await promisify(execFile)('go', ['env', 'GOVERSION'], { env, signal }).catch((cause: unknown) => {
    throw new GoBuildError(`${needs}, and no go was found on the PATH`, { cause });
  });
  const match = /^go(\d+)\.(\d+)/.exec(result.stdout.trim());
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  if (!(major > neededGo[0] || (major === neededGo[0] && minor >= neededGo[1]))) throw new GoBuildError(`${needs}, and this is ${result.stdout.trim()}`);
}

function runGo(args: string[], options: GoBuildOptions, env: NodeJS.ProcessEnv, onLine: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, { cwd: options.dir, env, stdio: ['ignore', 'pipe', 'pipe'], signal: options.signal, killSignal: 'SIGTERM' });
    const log = createWriteStream(options.logFile, { flags: 'a' });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        log.write(`${line}\n`);
        onLine(line);
      });
    }
    child.once('error', (error) => {
      log.end();
      reject(options.signal.aborted ? (options.signal.reason as Error) : error);
    });
    child.once('close', (code) => {
      log.end(() => {
        if (options.signal.aborted) reject(options.signal.reason as Error);
        else if (code === 0) resolve();
        else reject(new GoBuildError(`go ${args[0]} failed (exit code ${code}); the whole output: ${options.logFile}\n${logTail(options.logFile, 8)}`));
      });
    });
  });
}
