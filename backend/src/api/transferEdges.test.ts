import { describe, expect, it } from 'vitest';
import type { RequestRecord } from '../protocol/index.ts';
import { transferEdges } from './transferEdges.ts';

function record(prefill: string | undefined, decode: string | undefined, blocks: number, status: 'ok' | 'failed' = 'ok'): RequestRecord {
  const transfer = {
    status,
    transport: 'shm',
    blocks,
    block_bytes: 100,
    bytes: blocks * 100,
    tokens: blocks * 16,
    wait_us: 0,
    transfer_us: 1,
    retries: 0,
    resumed: false,
  };
  return {
    request_id: 'r',
    model: 'm',
    time: '2026-01-01T00:00:00Z',
    path: 'disaggregated',
    reason: '',
    prefill: { worker_id: '1', overlap_blocks: 0, ...(prefill !== undefined && { pod: prefill }) },
    decode: [{ worker_id: '2', overlap_blocks: 0, output_tokens: 1, ...(decode !== undefined && { pod: decode }) }],
    transfer,
    migrations: [],
    prompt_tokens: 1,
    output_tokens: 1,
    status: 'ok',
  };
}

describe('edges of KV transfers', () => {
  it('add up what each decode pod read from each prefill pod', () => {
    expect(transferEdges([record('p0', 'd0', 3), record('p0', 'd0', 4), record('p1', 'd0', 1)])).toEqual([
      { from: 'p0', to: 'd0', requests: 2, blocks: 7, bytes: 700 },
      { from: 'p1', to: 'd0', requests: 1, blocks: 1, bytes: 100 },
    ]);
  });

  it('leave out what did not move: failures, full local hits, workers without pods', () => {
    expect(transferEdges([record('p0', 'd0', 3, 'failed'), record('p0', 'd0', 0), record(undefined, 'd0', 3), record('p0', undefined, 3)])).toEqual([]);
    const { transfer: _, prefill: __, ...local } = record('p0', 'd0', 3);
    expect(transferEdges([local])).toEqual([]);
  });
});
