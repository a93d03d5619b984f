import path from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PodIdentity, PodProcess, PodSandbox, ProcessSpec } from './podNet.ts';

// What the contract suites and test/15.* share.

/** Everything that ends up on a stream. */
export async function textOf(stream: Readable | NodeJS.ReadableStream | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks).toString('utf8');
}

export function pod(name: string, more: Partial<PodIdentity> = {}): PodIdentity {
  return { uid: `uid-${name}`, namespace: 'default', name, nodeName: 'node-1', ...more };
}

const searchPath = `${path.dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;

/** A spec with what every test needs. */
export function programOf(argv: string[], more: Partial<ProcessSpec> = {}): ProcessSpec {
  return { argv, env: { PATH: searchPath, HOME: '/root' }, cwd: '/', mounts: [], ...more };
}

/** Runs a program to its end. */
export async function run(sandbox: PodSandbox, spec: ProcessSpec): Promise<{ stdout: string; stderr: string; exitCode: number; signal?: number }> {
  const started = await sandbox.spawn(spec);
  const [stdout, stderr, exited] = await Promise.all([textOf(started.stdout), textOf(started.stderr), started.exited]);
  return { stdout, stderr, ...exited };
}

/** Waits until `probe` gives something, with the last error as reason if it never does. */
export async function eventually<T>(probe: () => Promise<T> | T, what: string): Promise<T> {
  const until = Date.now() + 15_000;
  let last: unknown;
  while (Date.now() < until) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await sleep(25);
  }
  throw new Error(`never happened: ${what}`, { cause: last });
}

/** A Node program that answers every connection with one line: its own name and the peer's address. */
const greeter = `require('net').createServer((c) => c.on('error', () => {}).end(process.env.NAME + ' saw ' + c.remoteAddress.replace('::ffff:', '') + '\\n')).listen(...JSON.parse(process.env.LISTEN))`;

export async function startGreeter(sandbox: PodSandbox, name: string, listen: unknown[], dir: string): Promise<PodProcess> {
  const spec = programOf(['node', '-e', greeter]);
  const log = path.join(dir, `${name}-${Math.random().toString(36).slice(2)}.log`);
  return sandbox.spawn({ ...spec, env: { ...spec.env, NAME: name, LISTEN: JSON.stringify(listen) }, detached: { stdoutFile: log, stderrFile: log } });
}

/** A Node program that prints what an address sends. */
const caller = `const [host, port] = process.argv.slice(1); const c = require('net').connect(+port, host); c.on('error', (e) => { console.log(e.code); process.exit(1) }); c.pipe(process.stdout)`;

export async function call(sandbox: PodSandbox, host: string, port: number): Promise<string> {
  const { stdout, stderr } = await run(sandbox, programOf(['node', '-e', caller, host, String(port)]));
  return (stdout + stderr).trim();
}
