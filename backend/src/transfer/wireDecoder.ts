import { xxh3 } from '../protocol/xxh3.ts';
import { cursorOver, type ByteCursor } from './byteCursor.ts';

/** Longest payload by frame type; undefined for a type that does not exist. native/src/transfer/frame.cc has the same table. */
const maxPayload = [undefined, 1024, 1024, 1024, 1024, 0, 64, 16 + 1024 * 12, 4 << 20, 1024, 0, 64 << 10, 0, 32 << 20, 2048] as const;
const headerBytes = 48;

export interface WireHeader {
  type: number;
  flags: number;
  transfer: bigint;
  aux: bigint;
  sequence: number;
  length: number;
  payloadHash: bigint;
}

/** The second decoder of the wire, for tests and for showing captured frames: a header, or why it is none. */
export function decodeFrameHeader(bytes: Uint8Array): WireHeader | string {
  if (bytes.byteLength < headerBytes) return 'short';
  const from = cursorOver(bytes);
  if (from.u32() !== 0x31544c44) return 'not a frame of this protocol';
  if (from.u8() !== 1) return 'another wire version';
  const type = from.u8();
  const header = { type, flags: from.u16(), transfer: from.u64(), aux: from.u64(), sequence: from.u32(), length: from.u32(), payloadHash: from.u64() };
  from.u32(); // reserved
  if (from.u32() !== Number(xxh3(bytes.slice(0, headerBytes - 4)) & 0xffff_ffffn)) return 'header checksum';
  const longest = type === 0 ? undefined : maxPayload[type];
  if (longest === undefined) return 'unknown frame type';
  return header.length > longest ? 'payload longer than its type allows' : header;
}

export interface WireIdentity {
  name: string;
  epoch: bigint;
  fingerprint: string;
}

function identity(from: ByteCursor): WireIdentity {
  return { name: from.text(128), epoch: from.u64(), fingerprint: from.text(256) };
}

export function decodeChallenge(bytes: Uint8Array): { owner: WireIdentity; nonce: Uint8Array } | undefined {
  const from = cursorOver(bytes);
  const message = { owner: identity(from), nonce: from.bytes(16) };
  return from.done() ? message : undefined;
}

export function decodeHello(
  bytes: Uint8Array,
): { reader: WireIdentity; expectedEpoch: bigint; channel: number; nonce: Uint8Array; proof: Uint8Array } | undefined {
  const from = cursorOver(bytes);
  const message = { reader: identity(from), expectedEpoch: from.u64(), channel: from.u8(), nonce: from.bytes(16), proof: from.bytes(32) };
  return from.done() && message.channel <= 1 ? message : undefined;
}

export function decodeRefusal(bytes: Uint8Array): { code: number; reason: string } | undefined {
  const from = cursorOver(bytes);
  const message = { code: from.u8(), reason: from.text(512) };
  return from.done() && message.code > 0 && message.code < 16 ? message : undefined;
}
