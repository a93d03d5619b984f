import { type PeerEngine, TransferPeer, transferPython } from '../peers/transferPeer.ts';
import type { Figure } from './figure.ts';
import { type BenchOptions, contiguous, moved, piece, poolBlocks, ratioFigure, scattered, type TransferTurns } from './transferTurns.ts';

interface Comparison {
  peer: string;
  engine: PeerEngine;
  env?: Record<string, string>;
  /** Ours. */
  over: 'shm' | 'tcp';
  goals: { contiguous?: number; scattered?: number };
}

const comparisons: Comparison[] = [
  { peer: 'NIXL, UCX default', engine: 'nixl', over: 'shm', goals: { contiguous: 1.5, scattered: 3 } },
  { peer: 'NIXL, UCX_TLS=tcp', engine: 'nixl', env: { UCX_TLS: 'tcp' }, over: 'tcp', goals: { contiguous: 3 } },
  { peer: 'Mooncake tcp', engine: 'mooncake', over: 'tcp', goals: { contiguous: 2 } },
];

/** Reads of the same lists by other engines where they are installed, in turn with ours. Ours verify what arrives; theirs cannot, so it is compared afterwards. */
export async function peerFigures(turns: TransferTurns, options: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const comparison of comparisons) {
    const found = transferPython(comparison.engine);
    if ('missing' in found) {
      figures.push({ name: `read of the same list by ${comparison.peer}`, value: Number.NaN, unit: 'GB/s', note: `skipped: ${found.missing}` });
      continue;
    }
    const { engine, env = {} } = comparison;
    const peer = await TransferPeer.start({ engine, python: found.python, bytes: poolBlocks * piece, env, signal: options.signal });
    try {
      figures.push(...(await compare(comparison, peer, turns)));
    } finally {
      await peer[Symbol.asyncDispose]();
    }
  }
  return figures;
}

async function compare(comparison: Comparison, peer: TransferPeer, turns: TransferTurns): Promise<Figure[]> {
  const { peer: name, over, goals } = comparison;
  const figures: Figure[] = [];
  const lists = [
    { list: 'contiguous' as const, pieces: contiguous, words: 'contiguous' },
    { list: 'scattered' as const, pieces: scattered, words: 'in 16 KiB pieces' },
  ];
  for (const { list, pieces, words } of lists) {
    await peer.list(list, pieces);
    const what = `${over === 'shm' ? 'shared memory' : 'TCP loopback'}, 64 MiB ${words}, verified, against ${name}`;
    const theirs: number[] = [];
    peer.standStill(true);
    const measured = await turns.inTurn(
      what,
      async () => void (await turns.read(pieces, over, true)),
      async () => {
        peer.standStill(false);
        const seconds = await peer.read(list);
        peer.standStill(true);
        theirs.push(seconds);
        return seconds;
      },
    );
    peer.standStill(false);
    const wrong = await peer.check(list);
    if (wrong > 0) throw new Error(`${name} delivered ${wrong} wrong pieces`);
    const best = moved / 1e9 / Math.min(...theirs);
    figures.push({ ...ratioFigure(what, name, measured, goals[list]), note: `the peer's best was ${best.toFixed(2)} GB/s` });
  }
  return figures;
}
