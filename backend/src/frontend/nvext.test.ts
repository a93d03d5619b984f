import { describe, expect, it } from 'vitest';
import type { RequestRecord } from '../protocol/index.ts';
import { RemoteError } from '../runtime/index.ts';
import { positions, prefilled } from './dispatchFixture.ts';
import { httpRoom } from './httpFixture.ts';

interface Answer {
  usage: object;
  nvext?: { worker_id?: object; timing?: object; request_record?: RequestRecord };
  error?: object;
}

const all = { nvext: { extra_fields: ['worker_id', 'timing', 'request_record'] } };
const json = async (response: Promise<Response>): Promise<Answer> => (await (await response).json()) as Answer;

describe('nvext of an answer', () => {
  it('names both workers, and what each part took', async () => {
    await using room = await httpRoom({ decode: [1] });
    const { nvext } = await json(room.complete(all));
    expect(nvext?.worker_id).toEqual({
      prefill_worker_id: '11',
      prefill_dp_rank: 0,
      decode_worker_id: '1',
      decode_dp_rank: 0,
      prefill_pod: 'pod-11',
      pod: 'pod-1',
    });
    expect(nvext?.timing).toMatchObject({ prefill_ms: 2, kv_transfer_ms: 0.007, ttft_ms: expect.any(Number) });
    expect(nvext?.request_record).toMatchObject({ path: 'disaggregated', transfer: { bytes: 30 } });
  });

  it('names one worker where it did all', async () => {
    await using room = await httpRoom({ decode: [1], prefill: [] });
    const { nvext } = await json(room.complete(all));
    expect(nvext?.worker_id).toEqual({ prefill_worker_id: '1', prefill_dp_rank: 0, decode_worker_id: '1', decode_dp_rank: 0, pod: 'pod-1' });
    expect(nvext?.timing).not.toHaveProperty('kv_transfer_ms');
    expect((await json(room.complete())).nvext).toBeUndefined();
  });

  it('pins each of them, by header or by field', async () => {
    await using room = await httpRoom({ prefill: [11, 12] });
    const who = async (extra: object, headers: Record<string, string> = {}): Promise<unknown> =>
      (await json(room.complete({ nvext: { extra_fields: ['worker_id'], ...extra } }, headers))).nvext?.worker_id;
    const expected = { prefill_worker_id: '12', decode_worker_id: '2' };
    expect(await who({ prefill_worker_id: 12, decode_worker_id: '2' })).toMatchObject(expected);
    expect(await who({}, { 'x-prefill-instance-id': '12', 'x-worker-instance-id': '2' })).toMatchObject(expected);
    expect(await who({ backend_instance_id: 2, prefill_worker_id: 11 }, { 'x-dynamo-prefill-instance-id': '12' })).toMatchObject(expected);
    expect(await json(room.complete({ nvext: { prefill_worker_id: 99 } }))).toMatchObject({ error: { param: 'nvext.prefill_worker_id' } });
    const query = await json(room.complete({ nvext: { annotations: ['query_instance_id'], prefill_worker_id: 12, decode_worker_id: 2 } }));
    expect(query).toMatchObject({ choices: [], nvext: { worker_id: expected } });
  });
});

describe('an answer by two workers', () => {
  it('counts as cached what the prefill worker had cached', async () => {
    await using room = await httpRoom({
      worker: async function* (id, request) {
        if (id < 10) return yield* positions(request);
        for await (const output of prefilled(request, id)) yield { ...output, prompt: { ...output.prompt!, cached_tokens: 16, computed_tokens: 24 } };
      },
    });
    expect((await json(room.complete())).usage).toMatchObject({ prompt_tokens: 40, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 16 } });
  });

  it('is recorded also where nobody can give it', async () => {
    await using room = await httpRoom({ decode: [1] });
    room.models.removed(1n);
    await room.models.settled();
    const answer = await room.complete();
    expect([answer.status, await answer.json()]).toMatchObject([503, { error: { code: 'no_workers', plane: 'router' } }]);
    const record = await room.get<RequestRecord>(`/requests/${answer.headers.get('x-request-id')}`);
    expect(record).toMatchObject({ path: 'error', status: 'error', cause: { plane: 'router', code: 'NO_WORKERS' }, decode: [] });
  });

  it('names the plane of its failure, before and after its first token', async () => {
    const failing = (after: number) =>
      httpRoom({
        worker: async function* (id, request) {
          if (id > 10) return yield* prefilled(request, id);
          if (after > 0) yield { token_ids: [65] };
          throw new RemoteError('KV_TRANSFER_FAILED', 'EXPIRED', { plane: 'tcp', address: 'worker-1' });
        },
      });
    await using early = await failing(0);
    const answer = await early.complete({ stream: true });
    expect([answer.status, await answer.json()]).toMatchObject([500, { error: { plane: 'kv_transfer', code: 'kv_transfer_failed' } }]);
    await using late = await failing(1);
    const stream = await late.complete({ stream: true });
    expect(stream.status).toBe(200);
    expect(await stream.text()).toMatch(/"text":"A"[\s\S]*data: \{"error":\{.*"code":"kv_transfer_failed","plane":"kv_transfer"\}\}/);
  });
});
