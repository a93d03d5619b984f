/**
 * What one frontend tells the others about a request it routed (Dynamo's replica sync), so that each knows the load of all.
 * Output growth is not told: too much traffic for what it is worth.
 */
export type SequenceEvent =
  | { type: 'add'; routerId: string; requestId: string; workerId: bigint; dpRank: number; sequence: BigUint64Array; prefillTokens: number }
  | { type: 'prefill-completed'; routerId: string; requestId: string }
  | { type: 'free'; routerId: string; requestId: string };

/** Requests of other frontends are kept apart from ours: ids need to be unique only within one. */
export function replicaRequestId({ routerId, requestId }: SequenceEvent): string {
  return `replica ${routerId} ${requestId}`;
}
