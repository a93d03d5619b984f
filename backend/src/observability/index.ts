/** Log lines and metrics in Dynamo's words. */
export { type LogLines, type LogLinesOptions, openLogLines } from './logLines.ts';
export { createLogger, loggerFromEnv, type LogFields, type Logger, type LoggerOptions, type LogLevel } from './logger.ts';
export { MetricsRegistry, powersOfTwo, type ConstantLabels } from './metricsRegistry.ts';
export { spanKinds, TraceSpan, type SpanAttributes, type SpanOptions } from './traceSpan.ts';
export { Tracing, type TracingOptions } from './tracing.ts';
