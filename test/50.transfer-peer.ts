// The other process of the transfer tests. Commands come as JSON lines on stdin, answers go as JSON lines to stdout; it ends with its stdin.
import { createInterface } from 'node:readline';
import { type Grant, TransferAgent, type TransferAgentOptions, TransferError, type TransportName } from '../backend/src/transfer/index.ts';
import { fillSeeded } from './50.transfer-bytes.ts';

export type PeerCommand = { do: 'grant'; leaseMs?: number; readers?: number } | PeerRead;

export interface PeerRead {
  do: 'read';
  grant: Grant;
  transports: TransportName[];
  deadlineMs: number;
  /** Or until one fails. */
  times: number;
  /** So many transfers at once, each of a part of the blocks. Default 1. */
  parts?: number;
  /** Bytes are compared after the last time only. */
  compareLast?: boolean;
}

/** One code for each time: IDENTICAL, WRONG BYTES, or why a transfer failed. `seconds` is for the transfers alone. */
export interface PeerReadAnswer {
  codes: string[];
  seconds: number;
}

const setup = JSON.parse(process.argv[2] as string) as { agent: TransferAgentOptions; blocks: number; blockBytes: number; seed: number };
const agent = new TransferAgent(setup.agent);
const pool = agent.createPool({ blocks: setup.blocks, blockBytes: setup.blockBytes });
fillSeeded(pool.buffer, setup.seed);
const all = Array.from({ length: setup.blocks }, (_, index) => index);
const answer = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ pid: process.pid });

async function read({ grant, transports, deadlineMs, times, parts = 1, compareLast = false }: PeerRead): Promise<PeerReadAnswer> {
  const codes: string[] = [];
  let seconds = 0;
  const size = Math.ceil(all.length / parts);
  const lists = Array.from({ length: parts }, (_, part) => all.slice(part * size, (part + 1) * size));
  for (let i = 0; i < times; i++) {
    const compared = !compareLast || i === times - 1;
    if (compared) new Uint8Array(pool.buffer).fill(0);
    const start = performance.now();
    const ends = await Promise.allSettled(lists.map((only) => agent.read(grant, pool, only, { transports, deadlineMs, release: false, only }).done));
    seconds += (performance.now() - start) / 1000;
    const failed = ends.find((end) => end.status === 'rejected')?.reason as unknown;
    if (failed) return { codes: [...codes, failed instanceof TransferError ? failed.code : String(failed)], seconds };
    codes.push(!compared || isIntact() ? 'IDENTICAL' : 'WRONG BYTES');
  }
  return { codes, seconds };
}

function isIntact(): boolean {
  const expected = new ArrayBuffer(pool.buffer.byteLength);
  fillSeeded(expected, setup.seed);
  return Buffer.compare(new Uint8Array(expected), new Uint8Array(pool.buffer)) === 0;
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as PeerCommand;
  if (command.do === 'grant') answer(pool.grant(all, { leaseMs: command.leaseMs ?? 30_000, readers: command.readers ?? 0 }));
  else answer(await read(command));
}
agent.close();
