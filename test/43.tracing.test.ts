import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OtlpReceiver } from '../backend/src/observability/otlpReceiver.ts';
import type { SpanRecord } from '../backend/src/protocol/index.ts';
import { complete } from './support/completions.ts';
import { randomTokens, seededRandom } from './support/randomPrompts.ts';
import { ready, recordOf } from './support/requestRecords.ts';
import { eventually, getJson, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const random = seededRandom(43);

describe('one trace through frontend, prefill worker, KV transfer and decode worker', () => {
  let receiver: OtlpReceiver;
  let group: ServingGroup;
  let frontend: ServingProcess;

  beforeAll(async () => {
    receiver = await OtlpReceiver.listen();
    group = await servingGroup({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
    await Promise.all([group.startPrefillWorker(), group.startDecodeWorker()]);
    frontend = await group.startFrontend(['--router-mode', 'kv']);
    await ready(frontend, { decode: 1, prefill: 1 });
  });
  afterAll(async () => {
    await group?.close();
    await receiver?.[Symbol.asyncDispose]();
  });

  it('as JSON of the request, and at an OTLP collector, the same spans', async () => {
    const { requestId } = await complete(frontend, { model, prompt: randomTokens(random, 300), max_tokens: 8, temperature: 0, ignore_eos: true });
    const record = await recordOf(frontend, requestId);
    const { trace_id, spans } = await getJson<{ trace_id: string; spans: SpanRecord[] }>(`${frontend.url}/requests/${requestId}/trace`);
    expect(record).toMatchObject({ path: 'disaggregated', trace_id });
    const parent = (span: SpanRecord): SpanRecord | undefined => spans.find(({ span_id }) => span_id === span.parent_span_id);
    const way = (span: SpanRecord): string => {
      const above = parent(span);
      return above === undefined ? span.name : `${way(above)} > ${span.name}`;
    };
    const ways = spans.map(way);
    for (const expected of [
      'http-request > preprocess',
      'http-request > route',
      'http-request > prefill > handle_payload > engine.prefill',
      'http-request > decode > handle_payload > kv_transfer',
      'http-request > decode > handle_payload > engine.decode',
    ]) {
      expect(ways).toContain(expected);
    }
    expect(new Set(spans.map(({ service }) => service))).toEqual(new Set(['dynamo-frontend', 'dynamo-prefill', 'dynamo-backend']));
    const transfer = spans.find(({ name }) => name === 'kv_transfer')!;
    expect(transfer.attributes).toMatchObject({ status: 'ok', bytes: record.transfer?.bytes, blocks: record.transfer?.blocks });
    // The prompt was there before its blocks were read, and they before the token that needs them.
    const [prefill, decode] = ['prefill', 'decode'].map((name) => spans.find((span) => span.name === name)!) as [SpanRecord, SpanRecord];
    expect(prefill.start_us + prefill.duration_us).toBeLessThanOrEqual(decode.start_us);
    expect(transfer.start_us).toBeGreaterThanOrEqual(decode.start_us);
    expect(transfer.start_us + transfer.duration_us).toBeLessThanOrEqual(decode.start_us + decode.duration_us);

    const exported = await eventually(
      async () => receiver.spans.filter(({ traceId }) => traceId === trace_id),
      ({ length }) => length >= spans.length,
    );
    const identity = ({ spanId, name, service }: { spanId: string; name: string; service: string }): string => `${service} ${name} ${spanId}`;
    expect(exported.map(identity).toSorted()).toEqual(spans.map(({ span_id, name, service }) => identity({ spanId: span_id, name, service })).toSorted());
  });

  it('under the caller’s span, where the caller has one', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const body = JSON.stringify({ model, prompt: [5, 6, 7], max_tokens: 2 });
    const headers = { 'content-type': 'application/json', traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    const response = await fetch(`${frontend.url}/v1/completions`, { method: 'POST', headers, body });
    expect(response.headers.get('traceparent')).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
    const { spans } = await getJson<{ spans: SpanRecord[] }>(`${frontend.url}/requests/${response.headers.get('x-request-id')}/trace`);
    expect(spans[0]).toMatchObject({ name: 'http-request', trace_id: traceId, parent_span_id: 'b7ad6b7169203331' });
  });
});
