import type { Attributes, HrTime } from '@opentelemetry/api';
import { SpanStatusCode } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace';
import type { SpanRecord } from '../protocol/index.ts';

/** A request has a few spans; more than this are the work of somebody who uses one trace for everything. */
const spansPerTrace = 1_000;

/** Keeps the finished spans of the last traces, as JSON, beside whatever is exported. */
export class SpanCollector implements SpanProcessor {
  readonly #limit: number;
  /** A `Map` keeps insertion order, so its first key is the oldest. */
  readonly #traces = new Map<string, (SpanRecord | ReadableSpan)[]>();

  constructor(limit = 1_000) {
    this.#limit = limit;
  }

  onStart(): void {}

  /** Most spans are never looked at: their record is made when they are. */
  onEnd(span: ReadableSpan): void {
    this.#add(span.spanContext().traceId, span);
  }

  add(span: SpanRecord): void {
    this.#add(span.trace_id, span);
  }

  get(traceId: string): SpanRecord[] {
    return (this.#traces.get(traceId) ?? []).map((span) => ('trace_id' in span ? span : recordOf(span)));
  }

  /** Hands over spans under `spanId` (itself included), which are then not kept any more. */
  take(traceId: string, spanId: string): SpanRecord[] {
    const spans = this.get(traceId);
    const taken = under(spans, spanId);
    if (taken.length === spans.length) this.#traces.delete(traceId);
    else
      this.#traces.set(
        traceId,
        spans.filter((span) => !taken.includes(span)),
      );
    return taken;
  }

  async forceFlush(): Promise<void> {}
  async shutdown(): Promise<void> {}

  #add(traceId: string, span: SpanRecord | ReadableSpan): void {
    const known = this.#traces.get(traceId);
    if (known !== undefined) {
      if (known.length < spansPerTrace) known.push(span);
      return;
    }
    this.#traces.set(traceId, [span]);
    if (this.#traces.size > this.#limit) this.#traces.delete(this.#traces.keys().next().value as string);
  }
}

/** This span and all that have it as their ancestor, by their start. */
export function under(spans: readonly SpanRecord[], spanId: string): SpanRecord[] {
  const inside = new Set([spanId]);
  for (let size = 0; size !== inside.size;) {
    size = inside.size;
    for (const { span_id, parent_span_id } of spans) if (parent_span_id !== undefined && inside.has(parent_span_id)) inside.add(span_id);
  }
  return spans.filter(({ span_id }) => inside.has(span_id)).toSorted((a, b) => a.start_us - b.start_us || b.duration_us - a.duration_us);
}

function recordOf(span: ReadableSpan): SpanRecord {
  const { traceId, spanId } = span.spanContext();
  const { 'service.name': service, 'service.instance.id': instance } = span.resource.attributes;
  const { message } = span.status;
  return {
    trace_id: traceId,
    span_id: spanId,
    ...(span.parentSpanContext === undefined ? {} : { parent_span_id: span.parentSpanContext.spanId }),
    name: span.name,
    service: String(service),
    ...(instance === undefined ? {} : { instance: String(instance) }),
    start_us: microseconds(span.startTime),
    duration_us: microseconds(span.duration),
    status: span.status.code === SpanStatusCode.ERROR ? 'error' : 'ok',
    ...(message === undefined ? {} : { message }),
    attributes: plain(span.attributes),
    ...(span.events.length === 0
      ? {}
      : {
          events: span.events.map(({ name, time, attributes }) => ({
            name,
            at_us: microseconds(time),
            ...(attributes === undefined || Object.keys(attributes).length === 0 ? {} : { attributes: plain(attributes) }),
          })),
        }),
  };
}

function microseconds([seconds, nanoseconds]: HrTime): number {
  return seconds * 1_000_000 + Math.round(nanoseconds / 1_000);
}

function plain(attributes: Attributes): SpanRecord['attributes'] {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) =>
      typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [[name, value]] : [],
    ),
  );
}
