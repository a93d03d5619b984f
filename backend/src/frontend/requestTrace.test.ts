import { describe, expect, it } from 'vitest';
import { Tracing } from '../observability/index.ts';
import type { EngineOutput, PreprocessedRequest, SpanRecord } from '../protocol/index.ts';
import { RemoteError } from '../runtime/index.ts';
import { positions, prefilled } from './dispatchFixture.ts';
import { recordingLogger } from './frontendFixture.ts';
import { httpRoom } from './httpFixture.ts';

const caller = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

/** A frontend whose workers are functions that trace. */
async function setup(work: (id: number, request: PreprocessedRequest) => AsyncIterable<EngineOutput>) {
  const { logger } = recordingLogger();
  const workerTracing = await Tracing.open({ service: 'worker', logger, env: {} });
  async function* traced(id: number, request: PreprocessedRequest): AsyncIterable<EngineOutput> {
    const span = workerTracing.start('handle_payload', { traceparent: request.traceparent });
    for await (const output of work(id, request)) {
      if (output.finish_reason !== undefined) span.end();
      yield output.finish_reason === undefined ? output : { ...output, spans: workerTracing.take(span) };
    }
  }
  const room = await httpRoom({ worker: traced, onDisaggFailure: 'fallback' });
  const ask = async (headers: Record<string, string> = {}) => {
    const response = await room.complete({}, headers);
    await response.text();
    return { response, trace: await room.get<{ trace_id: string; spans: SpanRecord[] }>(`/requests/${response.headers.get('x-request-id')}/trace`) };
  };
  return { ask, [Symbol.asyncDispose]: () => room[Symbol.asyncDispose]() };
}

describe('the trace of a request', () => {
  it('is the caller’s, and goes through every process', async () => {
    await using room = await setup((id, request) => (id > 10 ? prefilled(request, id) : positions(request)));
    const { response, trace } = await room.ask({ traceparent: caller });
    expect(trace.trace_id).toBe('0af7651916cd43dd8448eb211c80319c');
    const root = trace.spans[0]!;
    expect(root).toMatchObject({
      name: 'http-request',
      parent_span_id: 'b7ad6b7169203331',
      service: 'frontend',
      attributes: { 'http.route': '/v1/completions' },
    });
    expect(response.headers.get('traceparent')).toBe(`00-${trace.trace_id}-${root.span_id}-01`);
    const parentName = (span: SpanRecord): string => trace.spans.find(({ span_id }) => span_id === span.parent_span_id)?.name ?? '';
    expect(trace.spans.map((span) => `${span.service}: ${parentName(span)} > ${span.name}`)).toEqual([
      'frontend:  > http-request',
      'frontend: http-request > preprocess',
      'frontend: http-request > route',
      'frontend: http-request > prefill',
      'worker: prefill > handle_payload',
      'frontend: http-request > route',
      'frontend: http-request > decode',
      'worker: decode > handle_payload',
    ]);
    expect(trace.spans.filter(({ name }) => name === 'route').map(({ attributes }) => attributes)).toMatchObject([
      { pool: 'prefill', worker_id: '11', mode: 'kv' },
      { pool: 'decode', worker_id: expect.stringMatching(/^[12]$/) },
    ]);
  });

  it('is a new one without a caller, and shows what failed', async () => {
    await using room = await setup(async function* (id, request) {
      if (id > 10) throw new RemoteError('STEP_FAILED', 'no step', { plane: 'tcp', address: 'worker' });
      yield* positions(request);
    });
    const [first, second] = [await room.ask(), await room.ask()];
    expect(first.trace.trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(second.trace.trace_id).not.toBe(first.trace.trace_id);
    expect(first.trace.spans.find(({ name }) => name === 'prefill')).toMatchObject({ status: 'error', message: expect.stringContaining('STEP_FAILED') });
    expect(first.trace.spans.find(({ name }) => name === 'decode')).toMatchObject({ status: 'ok' });
  });
});
