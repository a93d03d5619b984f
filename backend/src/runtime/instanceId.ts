import { randomBytes } from 'node:crypto';
import { sipHash13 } from './sipHash.ts';

/** Dynamo keeps instance ids below 2^53, so that they survive as JSON numbers. */
const idMask = 0x001f_ffff_ffff_ffffn;

/** The instance id of a pod: Dynamo's `hash_pod_name` (Rust hashes a str as its bytes and 0xff). */
export function instanceIdOfPod(podName: string): bigint {
  const name = new TextEncoder().encode(podName);
  const bytes = new Uint8Array(name.length + 1);
  bytes.set(name);
  bytes[name.length] = 0xff;
  return sipHash13(bytes) & idMask;
}

/** An id for a process that is not a pod. */
export function randomInstanceId(): bigint {
  return randomBytes(8).readBigUInt64LE() & idMask;
}
