// The other process of the transfer tests. Commands come as JSON lines on stdin, answers go as JSON lines to stdout; it ends with its stdin.
import { createInterface } from 'node:readline';
import { type Grant, TransferAgent, type TransferAgentOptions, TransferError, type TransportName } from '../backend/src/transfer/index.ts';
import { fillSeeded } from './50.transfer-bytes.ts';

export type PeerCommand =
  | { do: 'grant'; leaseMs?: number; readers?: number }
  | { do: 'read'; grant: Grant; transports: TransportName[]; deadlineMs: number; times: number };

const setup = JSON.parse(process.argv[2] as string) as { agent: TransferAgentOptions; blocks: number; blockBytes: number; seed: number };
const agent = new TransferAgent(setup.agent);
const pool = agent.createPool({ blocks: setup.blocks, blockBytes: setup.blockBytes });
fillSeeded(pool.buffer, setup.seed);
const all = Array.from({ length: setup.blocks }, (_, index) => index);
const answer = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
answer({ pid: process.pid });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as PeerCommand;
  if (command.do === 'grant') {
    answer(pool.grant(all, { leaseMs: command.leaseMs ?? 30_000, readers: command.readers ?? 0 }));
    continue;
  }
  const codes: string[] = [];
  for (let i = 0; i < command.times; i++) {
    new Uint8Array(pool.buffer).fill(0);
    try {
      await agent.read(command.grant, pool, all, { transports: command.transports, deadlineMs: command.deadlineMs, release: false }).done;
      const expected = new ArrayBuffer(pool.buffer.byteLength);
      fillSeeded(expected, setup.seed);
      codes.push(Buffer.compare(new Uint8Array(expected), new Uint8Array(pool.buffer)) === 0 ? 'IDENTICAL' : 'WRONG BYTES');
    } catch (error) {
      codes.push(error instanceof TransferError ? error.code : String(error));
    }
  }
  answer({ codes });
}
agent.close();
