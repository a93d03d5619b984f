import { describe, expect, it } from 'vitest';
import { createLogger, Tracing } from '../observability/index.ts';
import type { EngineOutput, SpanRecord } from '../protocol/index.ts';
import { HandlerError, type RequestContext, type RequestHandler } from '../runtime/index.ts';
import { tracedEndpoint } from './tracedEndpoint.ts';

const caller = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const traceparent = `00-${caller.traceId}-${caller.spanId}-01`;
const prompt = { prompt_tokens: 33, cached_tokens: 0, transferred_tokens: 32, computed_tokens: 1, cached_blocks: 0, queue_us: 900, prefill_us: 500 };
const transfer = {
  status: 'ok',
  transport: 'shm',
  blocks: 2,
  block_bytes: 8,
  bytes: 16,
  tokens: 32,
  wait_us: 100,
  transfer_us: 700,
  retries: 0,
  resumed: false,
} as const;

async function setup(handler: RequestHandler) {
  const tracing = await Tracing.open({ service: 'dynamo-backend', logger: createLogger({ target: 'test', write: () => {} }), env: {} });
  const traced = tracedEndpoint(handler, { tracing, component: 'backend', endpoint: 'generate' });
  const context: RequestContext = { requestId: 'r1', bytes: { request: 0, response: 0 }, signal: new AbortController().signal };
  return { tracing, ask: (payload: unknown) => traced(payload, context) as AsyncIterable<EngineOutput> };
}

const answer: RequestHandler = async function* () {
  yield { token_ids: [1], prompt, kv_transfer: { ...transfer, timeline: [{ step: 'first byte', at_us: 20 }] } };
  yield { token_ids: [2], finish_reason: 'length' };
};

async function all(outputs: AsyncIterable<EngineOutput>): Promise<EngineOutput[]> {
  const read: EngineOutput[] = [];
  for await (const output of outputs) read.push(output);
  return read;
}

describe('tracedEndpoint', () => {
  it('hands its spans over with the last output: queue, transfer, prefill, decode, under the caller’s', async () => {
    const { ask, tracing } = await setup(answer);
    const outputs = await all(ask({ traceparent }));
    expect(outputs.map(({ token_ids }) => token_ids)).toEqual([[1], [2]]);
    expect(outputs[0]?.spans).toBeUndefined();
    const spans = outputs[1]?.spans ?? [];
    const named = (name: string): SpanRecord => spans.find((span) => span.name === name)!;
    const root = named('handle_payload');
    expect(root).toMatchObject({
      trace_id: caller.traceId,
      parent_span_id: caller.spanId,
      attributes: { component: 'backend', request_id: 'r1', output_tokens: 2, finish_reason: 'length' },
    });
    expect(spans.filter((span) => span !== root).map(({ name, parent_span_id }) => [name, parent_span_id === root.span_id])).toEqual(
      expect.arrayContaining([
        ['engine.queue', true],
        ['kv_transfer', true],
        ['engine.prefill', true],
        ['engine.decode', true],
      ]),
    );
    expect(named('kv_transfer')).toMatchObject({ attributes: { bytes: 16, transport: 'shm' }, events: [{ name: 'first byte' }] });
    // Milliseconds since the epoch, as a double, are exact to a quarter of a microsecond.
    const durations = ['kv_transfer', 'engine.queue', 'engine.prefill'].map((name) => named(name).duration_us);
    for (const [index, expected] of [700, 100, 500].entries()) expect(Math.abs(durations[index]! - expected)).toBeLessThanOrEqual(2);
    expect(Math.abs(named('kv_transfer').start_us - root.start_us - 100)).toBeLessThanOrEqual(2);
    expect(named('engine.prefill')).toMatchObject({ attributes: { transferred_tokens: 32, computed_tokens: 1 } });
    expect(tracing.spansUnder(caller.traceId, root.span_id)).toEqual([]);
  });

  it('shows a transfer that failed, and an answer that did', async () => {
    const { ask } = await setup(async function* () {
      yield { token_ids: [1], prompt, kv_transfer: { ...transfer, status: 'failed', error: { code: 'CHECKSUM', message: 'block 3' } }, finish_reason: 'stop' };
    });
    const [output] = await all(ask({ traceparent }));
    expect(output?.spans?.map(({ name }) => name)).not.toContain('engine.decode');
    expect(output?.spans?.find(({ name }) => name === 'kv_transfer')).toMatchObject({ status: 'error', message: 'CHECKSUM: block 3' });
    const failing = await setup(async function* () {
      yield* [];
      throw new HandlerError('STEP_FAILED', 'no step');
    });
    await expect(all(failing.ask({ traceparent }))).rejects.toMatchObject({ code: 'STEP_FAILED' });
  });

  it('keeps nothing of an answer that is left, and traces nothing without being asked', async () => {
    const { ask, tracing } = await setup(answer);
    for await (const _ of ask({ traceparent })) break;
    expect(tracing.spansUnder(caller.traceId, caller.spanId)).toEqual([]);
    expect((await all(ask({}))).at(-1)?.spans).toBeUndefined();
    expect((await all(ask(null))).at(-1)?.spans).toBeUndefined();
  });
});
