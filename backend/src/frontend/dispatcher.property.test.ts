import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';
import { ConnectFailedError, ConnectionLostError, RemoteError, RequestRefusedError } from '../runtime/index.ts';
import { ApiError } from './apiError.ts';
import { dispatchRoom, positions, prefilled, promptOf } from './dispatchFixture.ts';
import { requestOf } from './frontendFixture.ts';

const details = { plane: 'tcp', address: 'worker' };

/** What one call of a worker does: how it fails, after so many outputs. Without a failure it answers. */
const fault = fc.record({
  after: fc.nat(5),
  kind: fc.constantFrom('connect', 'lost', 'draining', 'kv', 'incompatible', 'step', 'recompute'),
});
const plan = fc.record({
  faults: fc.array(fc.option(fault, { nil: undefined, freq: 3 }), { maxLength: 12 }),
  prefill: fc.integer({ min: 0, max: 3 }),
  decode: fc.integer({ min: 1, max: 3 }),
  limit: fc.nat(3),
  onDisaggFailure: fc.constantFrom('fallback', 'error', 'enforce'),
  policy: fc.constantFrom('always_remote', 'isl_bounding', 'isl_or_load'),
  length: fc.integer({ min: 1, max: 70 }),
  maxTokens: fc.integer({ min: 1, max: 8 }),
  /** The client leaves after so many outputs. */
  leaves: fc.option(fc.nat(4), { nil: undefined, freq: 4 }),
} as const);

function errorOf(kind: string): Error | undefined {
  if (kind === 'connect') return new ConnectFailedError('cannot connect', details);
  if (kind === 'lost') return new ConnectionLostError('connection lost: read ECONNRESET', details);
  if (kind === 'draining') return new RequestRefusedError('DRAINING', 'going', details);
  if (kind === 'kv') return new RemoteError('KV_TRANSFER_FAILED', 'EXPIRED', details);
  if (kind === 'incompatible') return new RequestRefusedError('KV_INCOMPATIBLE', '16, 32', details);
  if (kind === 'step') return new RemoteError('STEP_FAILED', 'no step', details);
  return undefined;
}

describe('whatever fails, wherever', () => {
  it('an answer is a beginning of the right one, its record says what became of it, and nothing stays load', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ faults, prefill, decode, limit, onDisaggFailure, policy, length, maxTokens, leaves }) => {
        let call = 0;
        const worker = async function* (id: number, request: PreprocessedRequest): AsyncIterable<EngineOutput> {
          const planned = faults[call++];
          const error = planned === undefined ? undefined : errorOf(planned.kind);
          let outputs = 0;
          if (error !== undefined && planned?.after === 0) throw error;
          for await (const output of id > 10 ? prefilled(request, id) : positions(request)) {
            if (planned?.kind === 'recompute' && output.kv_transfer !== undefined) {
              yield { ...output, kv_transfer: { ...output.kv_transfer, status: 'failed', error: { code: 'CHECKSUM', message: 'block 0' } } };
            } else yield output;
            if (error !== undefined && ++outputs >= planned!.after) throw error;
          }
        };
        const room = await dispatchRoom({
          prefill: [11, 12, 13].slice(0, prefill),
          decode: [1, 2, 3].slice(0, decode),
          worker,
          onDisaggFailure,
          migration: { limit },
          conditional: () => ({ policy, max_local_prefill_length: 40, max_local_prefill_ratio: 1, max_prefill_queue_tokens: 100 }),
        });
        const abort = new AbortController();
        const request = { ...requestOf(promptOf(length)), stop_conditions: { max_tokens: maxTokens } };
        const tracker = room.records.begin({ requestId: 'r1', model: 'model', promptTokens: length });
        const tokens: number[] = [];
        let failure: unknown;
        let finished = false;
        try {
          for await (const output of room.dispatcher.dispatch({ model: room.model, request, signal: abort.signal, tracker })) {
            tokens.push(...output.token_ids);
            finished ||= output.finish_reason !== undefined;
            if (leaves !== undefined && tokens.length > leaves) abort.abort(new Error('gone'));
          }
        } catch (error) {
          failure = error;
        }
        const { record } = tracker;
        expect(tokens).toEqual(Array.from({ length: tokens.length }, (_, i) => length + i));
        expect(room.running()).toBe(0);
        expect(record.output_tokens).toBe(tokens.length);
        expect(record.decode.reduce((sum, { output_tokens }) => sum + output_tokens, 0)).toBe(tokens.length);
        expect(record.migrations.filter(({ migration_type }) => migration_type === 'ongoing_request').length).toBeLessThanOrEqual(limit);
        if (failure === undefined || finished) {
          expect(tokens).toHaveLength(maxTokens);
          expect(record).toMatchObject({ status: 'ok' });
          expect(record.path).not.toBe('error');
          if (record.path === 'fallback') expect(record.cause).toBeDefined();
        } else if (abort.signal.aborted) expect([failure, record.status]).toEqual([abort.signal.reason, 'cancelled']);
        else {
          expect(failure).toBeInstanceOf(ApiError);
          expect(record).toMatchObject({ path: 'error', status: 'error', cause: { plane: expect.any(String), code: expect.any(String) } });
          expect((failure as ApiError).plane).toBe(record.cause?.plane);
        }
      }),
      { numRuns: 300 },
    );
  });
});
