import { SpanKind, SpanStatusCode, trace, type Context, type Span, type Tracer } from '@opentelemetry/api';

/** `SERVER`: answers another process; `CLIENT`: waits for one. */
export const spanKinds = SpanKind;

export type SpanAttributes = Record<string, string | number | boolean | undefined>;

export interface SpanOptions {
  attributes?: SpanAttributes;
  kind?: SpanKind;
  /** `performance.now()`; default now. */
  startedAt?: number;
}

/** One span that is open. Its parent is named, never taken from the surroundings. */
export class TraceSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #context: Context;
  readonly #sampled: boolean;
  #ended = false;

  constructor(tracer: Tracer, name: string, parent: Context, { attributes = {}, kind, startedAt = performance.now() }: SpanOptions = {}) {
    this.#tracer = tracer;
    this.#span = tracer.startSpan(name, { attributes: defined(attributes), ...(kind === undefined ? {} : { kind }), startTime: epoch(startedAt) }, parent);
    this.#context = trace.setSpan(parent, this.#span);
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    this.traceId = traceId;
    this.spanId = spanId;
    this.#sampled = (traceFlags & 1) === 1;
  }

  /** W3C `traceparent` for whatever this span calls. */
  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-0${this.#sampled ? 1 : 0}`;
  }

  /** False with OTEL_SDK_DISABLED: whatever this span calls need not trace either. */
  get recording(): boolean {
    return this.#span.isRecording();
  }

  child(name: string, options?: SpanOptions): TraceSpan {
    return new TraceSpan(this.#tracer, name, this.#context, options);
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(defined(attributes));
  }

  event(name: string, attributes: SpanAttributes = {}, at = performance.now()): void {
    this.#span.addEvent(name, defined(attributes), epoch(at));
  }

  /** The first end counts. `at`: `performance.now()`; default now. */
  end(options: { error?: unknown; at?: number } = {}): void {
    if (this.#ended) return;
    this.#ended = true;
    const { error, at = performance.now() } = options;
    if (error !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
    this.#span.end(epoch(at));
  }
}

function defined(attributes: SpanAttributes): Record<string, string | number | boolean> {
  const known: Record<string, string | number | boolean> = {};
  for (const name in attributes) if (attributes[name] !== undefined) known[name] = attributes[name];
  return known;
}

/** Milliseconds since the epoch, with fractions: finer than the clock that the SDK would ask. */
function epoch(performanceNow: number): number {
  return performance.timeOrigin + performanceNow;
}
