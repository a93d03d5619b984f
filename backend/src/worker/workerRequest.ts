import { z } from 'zod';
import type { PreprocessedRequest } from '../protocol/index.ts';
import { HandlerError } from '../runtime/index.ts';

const kvTransferParams = z.looseObject({
  do_remote_decode: z.boolean().optional(),
  do_remote_prefill: z.boolean().optional(),
  remote_request_id: z.string().optional(),
  remote_block_ids: z.array(z.number().int().nonnegative()).optional(),
  remote_num_tokens: z.number().int().nonnegative().optional(),
});

const count = z.number().int().nonnegative();
const overlapped = z.object({ first_block: count, blocks: count, reads: count, transport: z.string(), transfer_us: z.number(), settle_us: z.number() });

const request = z.object({
  request_id: z.string().min(1),
  model: z.string(),
  // The engine looks at every token; looking twice at a long prompt would hold up the event loop.
  token_ids: z.custom<number[]>((value) => Array.isArray(value) && value.length > 0, 'must be a list of at least one token id'),
  stop_conditions: z.object({
    max_tokens: z.number().int().positive(),
    min_tokens: z.number().int().nonnegative().optional(),
    stop: z.array(z.string()).optional(),
    stop_token_ids: z.array(z.number().int().nonnegative()).optional(),
    ignore_eos: z.boolean().optional(),
  }),
  sampling_options: z.object({
    temperature: z.number().nonnegative(),
    top_p: z.number().optional(),
    top_k: z.number().int().optional(),
    seed: z.number().int().optional(),
  }),
  output_options: z.object({ logprobs: z.number().int().nonnegative().optional() }),
  replayed_tokens: z.number().int().nonnegative().optional(),
  traceparent: z.string().optional(),
  estimated_prefix_hit_num_blocks: z.number().optional(),
  kv_transfer_params: kvTransferParams.optional(),
  prefill_result: z
    .object({ disaggregated_params: z.object({ worker_id: z.string(), kv_transfer_params: kvTransferParams }), overlapped: overlapped.optional() })
    .optional(),
  /** This worker's own canary: neither counted nor logged. */
  health_check: z.boolean().optional(),
});

/** Throws HandlerError BAD_REQUEST. `own`: this worker's canary. */
export function parseWorkerRequest(payload: unknown): { request: PreprocessedRequest; own: boolean } {
  const parsed = request.safeParse(payload);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new HandlerError('BAD_REQUEST', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, { refused: true });
  }
  const asked = parsed.data as PreprocessedRequest;
  return { request: asked.kv_transfer_params?.do_remote_decode === true ? forPrefill(asked) : asked, own: parsed.data.health_check === true };
}

/** A prompt for somebody else's answer: one token, whatever it is, ends it. */
function forPrefill(asked: PreprocessedRequest): PreprocessedRequest {
  return { ...asked, stop_conditions: { max_tokens: 1, min_tokens: 1, ignore_eos: true } };
}
