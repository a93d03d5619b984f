import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { TransferAgent, type TransferAgentOptions, type TransferPool, type TransportName, ucxLibrary } from '../backend/src/transfer/index.ts';
import type { PeerCommand } from './50.transfer-peer.ts';
import { fillSeeded } from './50.transfer-bytes.ts';

export const blockBytes = 16_384;
export const transports: { transport: TransportName; prefix: string }[] = [
  { transport: 'shm', prefix: 'unix:' },
  { transport: 'uds', prefix: 'unix:' },
  { transport: 'tcp', prefix: 'tcp:127' },
  { transport: 'tcp', prefix: 'tcp:[' },
];
const ucx = ucxLibrary();
if ('version' in ucx) transports.push({ transport: 'ucx', prefix: 'ucx:' });
else console.log(`not tested over UCX, which is absent: ${ucx.missing}`);

let serial = 0;
export function agentOptions(name: string, more: Partial<TransferAgentOptions> = {}): TransferAgentOptions {
  const listen = [`unix:@dynamo-labs-test-${process.pid}-${serial++}`, 'tcp:127.0.0.1:0', 'tcp:[::1]:0'];
  return { name, fingerprint: 'test', token: 'secret', listen, inlineBytes: 0, ...more };
}

/** Of one who is read from: listens where a transport of `transports` looks, and by UCX only if that is it. */
export function ownerOptions(name: string, prefix: string, more: Partial<TransferAgentOptions> = {}): TransferAgentOptions {
  const options = agentOptions(name, more);
  if (prefix === 'ucx:') options.listen?.push('ucx:127.0.0.1:0');
  return options;
}

/** An agent in another process. */
export class Peer implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  private constructor(child: ChildProcess) {
    this.child = child;
    this.#reader = createInterface({ input: child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }
  static async start(agent: TransferAgentOptions, blocks: number, seed: number): Promise<Peer> {
    const script = path.join(import.meta.dirname, '50.transfer-peer.ts');
    const child = spawn(process.execPath, [script, JSON.stringify({ agent, blocks, blockBytes, seed })], { stdio: ['pipe', 'pipe', 'inherit'] });
    const peer = new Peer(child);
    await peer.#next();
    return peer;
  }
  get pid(): number {
    return this.child.pid as number;
  }
  async #next<T>(): Promise<T> {
    const line = await this.#lines.next();
    if (line.done) throw new Error(`peer ${this.pid} is gone`);
    return JSON.parse(line.value) as T;
  }
  ask<T>(command: PeerCommand): Promise<T> {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
    return this.#next<T>();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#reader.close();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.stdin!.destroy();
      this.child.kill('SIGKILL');
      await once(this.child, 'exit');
    }
  }
}

export async function eventually(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (condition()) return;
    await sleep(10);
  }
  throw new Error(`not within 5 s: ${what}`);
}

export function sameAsSeed(pool: TransferPool, seed: number): boolean {
  const expected = new ArrayBuffer(pool.buffer.byteLength);
  fillSeeded(expected, seed);
  return Buffer.compare(new Uint8Array(expected), new Uint8Array(pool.buffer)) === 0;
}

export const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
export { fillSeeded, TransferAgent };
