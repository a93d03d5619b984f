import { z } from 'zod';
import type { SequenceEvent } from '../router/index.ts';
import type { WorkerRole } from './workerPool.ts';

/** What one frontend tells the others at once: about requests for one pool of one model. */
export interface SequenceEventBatch {
  routerId: string;
  model: string;
  pool: WorkerRole;
  events: SequenceEvent[];
}

const u64 = z
  .string()
  .regex(/^\d{1,20}$/)
  .transform((text) => BigInt(text))
  .refine((value) => value <= 0xffffffffffffffffn, 'larger than 64 bits');

const wireEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('add'),
    request_id: z.string(),
    worker_id: u64,
    dp_rank: z.number().int().nonnegative(),
    token_sequence: z.array(u64),
    prefill_tokens: z.number().int().nonnegative(),
  }),
  z.object({ type: z.literal('prefill-completed'), request_id: z.string() }),
  z.object({ type: z.literal('free'), request_id: z.string() }),
]);

const wireBatch = z.object({ router_id: z.string().min(1), model: z.string(), pool: z.enum(['prefill', 'decode']), events: z.array(wireEvent) });

/** Dynamo's fields as JSON; 64-bit hashes are decimal strings, since JSON numbers lose bits. */
export function encodeSequenceEvents({ routerId, model, pool, events }: SequenceEventBatch): Uint8Array {
  const wire: z.input<typeof wireBatch> = {
    router_id: routerId,
    model,
    pool,
    events: events.map((event) => {
      if (event.type !== 'add') return { type: event.type, request_id: event.requestId };
      return {
        type: event.type,
        request_id: event.requestId,
        worker_id: String(event.workerId),
        dp_rank: event.dpRank,
        token_sequence: Array.from(event.sequence, String),
        prefill_tokens: event.prefillTokens,
      };
    }),
  };
  return Buffer.from(JSON.stringify(wire));
}

/** Throws on anything that is not such a batch. */
export function decodeSequenceEvents(payload: Uint8Array): SequenceEventBatch {
  const { router_id: routerId, model, pool, events } = wireBatch.parse(JSON.parse(Buffer.from(payload).toString('utf8')));
  return {
    routerId,
    model,
    pool,
    events: events.map((event) => {
      if (event.type !== 'add') return { type: event.type, routerId, requestId: event.request_id };
      return {
        type: 'add',
        routerId,
        requestId: event.request_id,
        workerId: event.worker_id,
        dpRank: event.dp_rank,
        sequence: BigUint64Array.from(event.token_sequence),
        prefillTokens: event.prefill_tokens,
      };
    }),
  };
}
