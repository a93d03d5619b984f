import { type ByteCursor, cursorOver } from './byteCursor.ts';

/** What NIXL calls an agent's metadata: who it is and where it is reached. Proves nothing. */
export interface AgentMetadata {
  name: string;
  epoch: bigint;
  fingerprint: string;
  addresses: string[];
  pools: { id: number; bytes: bigint; blockBytes: bigint }[];
}

const magic = 0x314d4c44; // "DLM1"

/** Nothing where the bytes are not exactly such metadata. The second decoder of this format: native/src/transfer/metadata.cc is the first. */
export function decodeMetadata(bytes: Uint8Array): AgentMetadata | undefined {
  const from: ByteCursor = cursorOver(bytes);
  if (from.u32() !== magic) return undefined;
  const name = from.text(128);
  const epoch = from.u64();
  const fingerprint = from.text(256);
  const addresses: string[] = [];
  const addressCount = from.u16();
  if (!from.ok() || addressCount > 16) return undefined;
  for (let i = 0; i < addressCount; i++) addresses.push(from.text(256));
  const pools: AgentMetadata['pools'] = [];
  const poolCount = from.u16();
  if (!from.ok() || poolCount > 1024) return undefined;
  for (let i = 0; i < poolCount; i++) pools.push({ id: from.u32(), bytes: from.u64(), blockBytes: from.u64() });
  return from.done() ? { name, epoch, fingerprint, addresses, pools } : undefined;
}
