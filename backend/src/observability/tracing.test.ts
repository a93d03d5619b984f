import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { OtlpReceiver } from './otlpReceiver.ts';
import { SpanCollector } from './spanCollector.ts';
import { Tracing } from './tracing.ts';

const caller = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const lines: string[] = [];
const logger = createLogger({ target: 'test', write: (line) => lines.push(line) });
const open = (env: NodeJS.ProcessEnv = {}): Promise<Tracing> => Tracing.open({ service: 'frontend', logger, env });

describe('Tracing', () => {
  it('continues the caller’s trace, and keeps finished spans as JSON', async () => {
    await using tracing = await open({ POD_NAME: 'pod-1', OTEL_SERVICE_NAME: 'mine' });
    const root = tracing.start('http', { traceparent: caller, attributes: { path: '/v1', none: undefined } });
    const child = root.child('route', { startedAt: performance.now() - 5 });
    child.set({ worker_id: '7' });
    child.event('queued', { position: 2 });
    child.end();
    expect(tracing.spansUnder(root.traceId, root.spanId)).toHaveLength(1);
    root.end({ error: new Error('no worker') });
    root.end();
    const spans = tracing.spansUnder(root.traceId, root.spanId);
    expect(spans).toMatchObject([
      { name: 'route', parent_span_id: root.spanId, status: 'ok', attributes: { worker_id: '7' }, events: [{ name: 'queued', attributes: { position: 2 } }] },
      { name: 'http', parent_span_id: 'b7ad6b7169203331', status: 'error', message: 'no worker', attributes: { path: '/v1' } },
    ]);
    for (const span of spans) expect(span).toMatchObject({ trace_id: '0af7651916cd43dd8448eb211c80319c', service: 'mine', instance: 'pod-1' });
    expect(spans[0]!.duration_us).toBeGreaterThanOrEqual(4_990);
    expect(Math.abs(spans[1]!.start_us / 1000 - Date.now())).toBeLessThan(60_000);
    expect(child.traceparent).toBe(`00-0af7651916cd43dd8448eb211c80319c-${child.spanId}-01`);
  });

  it.each([undefined, '', 'garbage', '00-00000000000000000000000000000000-b7ad6b7169203331-01', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'])(
    'begins a new trace under %j',
    async (traceparent) => {
      await using tracing = await open();
      const span = tracing.start('http', { traceparent });
      expect(span.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      expect(span.traceId).not.toMatch(/^(0+|0af7.*)$/);
    },
  );

  it('hands over what is below a span, and adopts what others made', async () => {
    await using worker = await open();
    await using frontend = await open();
    const root = frontend.start('http');
    const other = worker.start('other', { traceparent: root.traceparent });
    other.end();
    const work = worker.start('worker', { traceparent: root.traceparent });
    work.child('engine').end();
    work.end();
    const taken = worker.take(work);
    expect(taken.map(({ name }) => name)).toEqual(['worker', 'engine']);
    expect(worker.spansUnder(root.traceId, work.spanId)).toEqual([]);
    expect(worker.spansUnder(root.traceId, other.spanId)).toHaveLength(1);
    frontend.adopt(taken);
    root.end();
    expect(frontend.spansUnder(root.traceId, root.spanId).map(({ name }) => name)).toEqual(['http', 'worker', 'engine']);
  });

  it('exports by OTLP/HTTP where that is configured, and not what the caller does not want sampled', async () => {
    await using receiver = await OtlpReceiver.listen();
    const tracing = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/` });
    const root = tracing.start('http', { traceparent: caller });
    root.child('route').end();
    root.end();
    const unwanted = tracing.start('unsampled', { traceparent: caller.replace(/01$/, '00') });
    unwanted.end();
    expect(unwanted.traceparent).toMatch(/-00$/);
    expect(tracing.spansUnder(unwanted.traceId, unwanted.spanId)).toHaveLength(1);
    await tracing.close();
    expect(receiver.spans.map(({ name, service, traceId }) => [name, service, traceId])).toEqual([
      ['route', 'frontend', root.traceId],
      ['http', 'frontend', root.traceId],
    ]);
    expect(receiver.spans[0]?.parentSpanId).toBe(receiver.spans[1]?.spanId);
  });

  it('exports nothing by default, or when switched off', async () => {
    await using receiver = await OtlpReceiver.listen();
    for (const env of [{}, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORT_ENABLED: 'false' }]) {
      const tracing = await open(env);
      tracing.start('http').end();
      await tracing.close();
    }
    expect(receiver.spans).toEqual([]);
  });

  it('records nothing with OTEL_SDK_DISABLED', async () => {
    await using receiver = await OtlpReceiver.listen();
    const tracing = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SDK_DISABLED: 'true' });
    const span = tracing.start('http');
    span.child('route').end();
    span.end();
    expect([span.recording, tracing.spansUnder(span.traceId, span.spanId)]).toEqual([false, []]);
    await tracing.close();
    expect(receiver.spans).toEqual([]);
  });

  it('says that a collector refuses, and ends all the same', async () => {
    await using receiver = await OtlpReceiver.listen();
    receiver.status = 400;
    const tracing = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    tracing.start('http').end();
    await tracing.close();
    expect(lines.join('')).toContain(`spans could not be exported to ${receiver.url}/v1/traces`);
  });
});

describe('SpanCollector', () => {
  it('keeps the last traces', () => {
    const collector = new SpanCollector(2);
    const span = (trace_id: string) => ({
      trace_id,
      span_id: '1',
      name: 'n',
      service: 's',
      start_us: 0,
      duration_us: 0,
      status: 'ok' as const,
      attributes: {},
    });
    for (const id of ['a', 'b', 'c']) collector.add(span(id));
    expect(['a', 'b', 'c'].map((id) => collector.get(id).length)).toEqual([0, 1, 1]);
  });
});
