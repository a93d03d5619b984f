import type { NativeGrantRef } from '@dynamo-labs/native';
import { TransferError } from './transferError.ts';

/** Permission to read (or push into) blocks of a pool for as long as its lease is kept alive. JSON: travels in kv_transfer_params. */
export interface Grant {
  /** The owner's agent. */
  agent: string;
  /** Its process, as a decimal 64-bit number. A restarted owner is another process. */
  epoch: string;
  /** Where it listens: `unix:…`, `tcp:…`. */
  addresses: string[];
  ref: NativeGrantRef;
  blockBytes: number;
  /** The pool's block numbers, in the order in which they are read. */
  blocks: number[];
  leaseMs: number;
  writable: boolean;
}

/** Checks the shape of a grant that came from elsewhere. Throws {@link TransferError} INVALID_PARAM. */
export function parseGrant(value: unknown): Grant {
  const grant = value as Grant;
  const isCount = (count: unknown) => Number.isSafeInteger(count) && (count as number) >= 0;
  const ok =
    typeof grant === 'object' &&
    grant !== null &&
    typeof grant.agent === 'string' &&
    typeof grant.epoch === 'string' &&
    /^\d{1,20}$/.test(grant.epoch) &&
    Array.isArray(grant.addresses) &&
    grant.addresses.every((address) => typeof address === 'string') &&
    typeof grant.ref === 'object' &&
    [grant.ref.id, grant.ref.pool, grant.ref.slot, grant.ref.clock, grant.blockBytes].every(isCount) &&
    Array.isArray(grant.blocks) &&
    grant.blocks.every(isCount);
  if (!ok) throw new TransferError('INVALID_PARAM', 'not a grant');
  return grant;
}
