import { ROOT_CONTEXT, trace, type Context } from '@opentelemetry/api';
import { ExportResultCode, parseTraceParent } from '@opentelemetry/core';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  createAlwaysRecordSampler,
  ParentBasedSampler,
  TracerProvider,
  type Sampler,
  type SpanExporter,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace';
import type { SpanRecord } from '../protocol/index.ts';
import type { Logger } from './logger.ts';
import { SpanCollector, under } from './spanCollector.ts';
import { TraceSpan, type SpanOptions } from './traceSpan.ts';

export interface TracingOptions {
  /** `service.name`; OTEL_SERVICE_NAME wins. */
  service: string;
  logger: Logger;
  env?: NodeJS.ProcessEnv;
}

/** Where OTLP/HTTP collectors listen. */
const defaultEndpoint = 'http://localhost:4318';
const exportTimeoutMs = 5_000;

/** This process's OpenTelemetry spans: kept as JSON for a while, and exported by OTLP/HTTP where that is configured. */
export class Tracing implements AsyncDisposable {
  readonly #provider: TracerProvider;
  readonly #collector: SpanCollector;

  /** Exports iff OTEL_EXPORTER_OTLP_ENDPOINT (or its `_TRACES_` form) is set or OTEL_EXPORT_ENABLED is true, and that is not false. */
  static async open(options: TracingOptions): Promise<Tracing> {
    const { env = process.env } = options;
    const url = exportUrl(env);
    return new Tracing(options, url === undefined ? [] : [await exporter(url, options.logger)]);
  }

  private constructor({ service, env = process.env }: TracingOptions, exporters: SpanProcessor[]) {
    this.#collector = new SpanCollector();
    const pod = env['POD_NAME'];
    const namespace = env['DYN_NAMESPACE'];
    this.#provider = new TracerProvider({
      resource: defaultResource().merge(
        resourceFromAttributes({
          'service.name': env['OTEL_SERVICE_NAME'] ?? service,
          ...(namespace === undefined ? {} : { 'service.namespace': namespace }),
          ...(pod === undefined ? {} : { 'service.instance.id': pod }),
        }),
      ),
      sampler: sampler(env),
      spanProcessors: [this.#collector, ...exporters],
    });
  }

  /** A span under the caller's, where `traceparent` is one; else the first of a new trace. */
  start(name: string, options: SpanOptions & { traceparent?: string | undefined } = {}): TraceSpan {
    const { traceparent, ...rest } = options;
    return new TraceSpan(this.#provider.getTracer('dynamo-labs'), name, contextOf(traceparent), rest);
  }

  /** Finished spans of this process, and of others that were `adopt`ed: `spanId` and all below it. */
  spansUnder(traceId: string, spanId: string): SpanRecord[] {
    return under(this.#collector.get(traceId), spanId);
  }

  /** Like `spansUnder`; they are not kept any more. */
  take({ traceId, spanId }: TraceSpan): SpanRecord[] {
    return this.#collector.take(traceId, spanId);
  }

  /** Keeps another process's spans beside ours. They are not exported: that process does it. */
  adopt(spans: readonly SpanRecord[]): void {
    for (const span of spans) this.#collector.add(span);
  }

  /** Sends what is left, for at most five seconds. */
  async close(): Promise<void> {
    // What fails is in the log already.
    await this.#provider.shutdown().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What a caller does not want sampled is not exported; we look at it all the same. With OTEL_SDK_DISABLED nothing is recorded. */
function sampler(env: NodeJS.ProcessEnv): Sampler {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return new AlwaysOffSampler();
  return createAlwaysRecordSampler(new ParentBasedSampler({ root: new AlwaysOnSampler() }));
}

function exportUrl(env: NodeJS.ProcessEnv): string | undefined {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return undefined;
  const enabled = env['OTEL_EXPORT_ENABLED']?.toLowerCase();
  if (enabled === 'false' || enabled === '0') return undefined;
  const traces = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'];
  if (traces !== undefined && traces !== '') return traces;
  const base = env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  if ((base === undefined || base === '') && enabled !== 'true' && enabled !== '1') return undefined;
  return `${(base === undefined || base === '' ? defaultEndpoint : base).replace(/\/+$/, '')}/v1/traces`;
}

async function exporter(url: string, logger: Logger): Promise<SpanProcessor> {
  // Modules that most processes never need.
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  logger.info(`Exporting OpenTelemetry spans by OTLP/HTTP to ${url}`);
  return new BatchSpanProcessor({
    exporter: reporting(new OTLPTraceExporter({ url, timeoutMillis: exportTimeoutMs }), url, logger),
    scheduledDelayMillis: 1_000,
    exportTimeoutMillis: exportTimeoutMs,
  });
}

/** Says in the log that spans could not be exported: the first time, and then seldom, since a collector that is away must not fill it. */
function reporting(exporter: SpanExporter, url: string, logger: Logger): SpanExporter {
  let failed = 0;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        if (result.code !== ExportResultCode.SUCCESS && failed++ % 100 === 0)
          logger.warn(`spans could not be exported to ${url}: ${result.error?.message ?? 'no reason given'}`, { failed_batches: failed });
        done(result);
      }),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}

function contextOf(traceparent: string | undefined): Context {
  const parent = traceparent === undefined ? null : parseTraceParent(traceparent);
  return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
}
