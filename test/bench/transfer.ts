import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Grant, TransferAgent } from '../../backend/src/transfer/index.ts';
import { agentOptions, Peer } from '../50.transfer-fixture.ts';
import type { Figure } from './figure.ts';
import { crowdFigures } from './transferCrowd.ts';
import { peerFigures } from './transferPeers.ts';
import { transferPlot } from './transferPlot.ts';
import { rankOf70B } from './transferRank.ts';
import { type BenchOptions, contiguous, poolBlocks, scattered, TransferTurns } from './transferTurns.ts';

/** Our transfers against memcpy, a plain socket loop and other engines, taken in turn in the same run; the owner is another process. */
export async function run(options: BenchOptions): Promise<Figure[]> {
  const figures = [...(await readsInTurn(options)), ...(await crowdFigures(options)), await rankOf70B(options)];
  await writeFile(path.join(options.outDir, 'transfer.json'), JSON.stringify(figures, undefined, 1));
  await writeFile(path.join(options.outDir, 'transfer.svg'), transferPlot(figures));
  return figures;
}

async function readsInTurn(options: BenchOptions): Promise<Figure[]> {
  const owner = await Peer.start(agentOptions('owner'), poolBlocks, 1);
  const reader = new TransferAgent(agentOptions('reader', { listen: [], inlineBytes: 65_536 }));
  try {
    const grant = await owner.ask<Grant>({ do: 'grant', leaseMs: 600_000, readers: 0 });
    const turns = new TransferTurns(reader, grant, options);
    return [
      await turns.againstMemcpy('shared memory, 64 MiB in 16 KiB pieces, verified', scattered, true, 0.6),
      await turns.againstMemcpy('shared memory, 64 MiB in 16 KiB pieces, unverified', scattered, false, 0.85),
      await turns.againstMemcpy('shared memory, 64 MiB contiguous, verified', contiguous, true),
      await turns.againstSocket('TCP loopback, 64 MiB contiguous, verified', 'tcp', contiguous, 0.75),
      await turns.againstSocket('TCP loopback, 64 MiB in 16 KiB pieces, verified', 'tcp', scattered),
      await turns.againstSocket('Unix socket, 64 MiB contiguous, verified', 'uds', contiguous),
      await turns.smallRead(),
      await turns.cpuPerGigabyte(),
      ...(await peerFigures(turns, options)),
    ];
  } finally {
    reader.close();
    await owner[Symbol.asyncDispose]();
  }
}
