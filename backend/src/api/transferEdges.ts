import type { KvTransferEdge, RequestRecord } from '../protocol/index.ts';

/** Who read how many KV blocks from whom. Requests whose workers have no pod name are left out: there is no place for them in a picture of pods. */
export function transferEdges(records: readonly RequestRecord[]): KvTransferEdge[] {
  const edges = new Map<string, KvTransferEdge>();
  for (const { prefill, decode, transfer } of records) {
    const to = decode[0]?.pod;
    if (prefill?.pod === undefined || to === undefined || transfer?.status !== 'ok' || transfer.blocks === 0) continue;
    const key = `${prefill.pod} ${to}`;
    const edge = edges.get(key) ?? { from: prefill.pod, to, requests: 0, blocks: 0, bytes: 0 };
    edges.set(key, { ...edge, requests: edge.requests + 1, blocks: edge.blocks + transfer.blocks, bytes: edge.bytes + transfer.bytes });
  }
  return [...edges.values()];
}
