import { freemem } from 'node:os';
import { TransferAgent, type TransferReport } from '../../backend/src/transfer/index.ts';
import { agentOptions, fillSeeded, range } from '../50.transfer-fixture.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';
import { type BenchOptions, readPieces } from './transferTurns.ts';

const block = 4096;
const wanted = 1_200_000;
const pairs = 5;
const warmUps = 2;

/**
 * One rank of a 70B model at 120k tokens over TCP, in turn uncut and cut twice by a reset; the median of the pairs' ratios. At most a window (8 MiB)
 * is asked for again at a cut, a thousandth of the whole, so it is not subtracted. Both ends in this process: the pools are compared directly.
 */
export async function rankOf70B(options: BenchOptions): Promise<Figure> {
  const count = Math.min(wanted, Math.floor((freemem() * 0.35) / block));
  const cuts = range(pairs).flatMap((pair) =>
    [0.3, 0.7].map((at) => ({
      kind: 'reset' as const,
      side: 'read' as const,
      afterBytes: Math.floor(count * block * (warmUps + 2 * pair + (cutFirst(pair) ? 0 : 1) + at)),
    })),
  );
  const owner = new TransferAgent(agentOptions('rank-owner'));
  const reader = new TransferAgent(agentOptions('rank-reader', { listen: [], faults: { enable: true, seed: 1, plan: cuts } }));
  try {
    return await cutInTurn(owner, reader, count, options);
  } finally {
    reader.close();
    owner.close();
  }
}

async function cutInTurn(owner: TransferAgent, reader: TransferAgent, count: number, options: BenchOptions): Promise<Figure> {
  const bytes = count * block;
  const from = owner.createPool({ blocks: count, blockBytes: block });
  const to = reader.createPool({ blocks: count, blockBytes: block });
  fillSeeded(from.buffer, 3);
  const grant = from.grant(range(count), { leaseMs: 600_000, readers: 0 });
  const pieces = new Float64Array(count * 3);
  // A stride that shares no factor with the count visits every block once, and no two neighbours.
  let stride = Math.floor(count * 0.618) | 1;
  while (gcd(stride, count) !== 1) stride += 2;
  for (let index = 0; index < count; index++) pieces.set([((index * stride) % count) * block, index * block, block], index * 3);
  const pass = (): Promise<TransferReport> => readPieces(reader, grant, to, { pieces, transport: 'tcp', verify: true, signal: options.signal });
  for (let i = 0; i < warmUps; i++) await pass();
  const cutSeconds: number[] = [];
  const ratios: number[] = [];
  let cutTwice = true;
  for (let pair = 0; pair < pairs; pair++) {
    const reports: TransferReport[] = [];
    for (let i = 0; i < 2; i++) {
      new Uint8Array(to.buffer).fill(0);
      reports.push(await pass());
      for (let index = 0; index < count; index++)
        if (Buffer.compare(to.block(index), from.block((index * stride) % count)) !== 0) throw new Error(`block ${index} is wrong`);
    }
    const [cut, uncut] = (cutFirst(pair) ? reports : reports.toReversed()) as [TransferReport, TransferReport];
    cutTwice &&= uncut.retries === 0 && cut.retries === 2;
    cutSeconds.push(cut.durationUs / 1e6);
    ratios.push(cut.durationUs / uncut.durationUs);
    options.log(
      `${count} pieces, ${(bytes / 1e9).toFixed(2)} GB: uncut ${(uncut.durationUs / 1e6).toFixed(2)} s, cut twice ${(cut.durationUs / 1e6).toFixed(2)} s`,
    );
  }
  const ratio = median(ratios);
  return {
    name: `${(bytes / 1e9).toFixed(2)} GB in ${count} pieces over TCP, connection cut twice`,
    value: median(cutSeconds),
    unit: 's',
    peer: 'the same uncut',
    ratio,
    spread: minMax(cutSeconds),
    goal: 'identical, ≤ 1.1 × uncut',
    ok: cutTwice && ratio <= 1.1,
    note: `${cutTwice ? 'cut twice' : 'the cuts did not happen'}, every block compared${count < wanted ? '; fewer than 1,200,000 pieces: not enough free memory' : ''}`,
  };
}

/** Who goes first changes from pair to pair. */
function cutFirst(pair: number): boolean {
  return pair % 2 === 1;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
