/** One finished OpenTelemetry span, as JSON. */
export interface SpanRecord {
  /** 32 hex digits: the same in every process that worked on the request. */
  trace_id: string;
  /** 16 hex digits. */
  span_id: string;
  parent_span_id?: string;
  name: string;
  /** `service.name` of the process, and `service.instance.id`: its pod, where it has one. */
  service: string;
  instance?: string;
  /** Microseconds since the epoch, and of duration. Processes on one machine share a clock; others do not quite. */
  start_us: number;
  duration_us: number;
  status: 'ok' | 'error';
  /** What went wrong. */
  message?: string;
  attributes: Record<string, string | number | boolean>;
  events?: { name: string; at_us: number; attributes?: Record<string, string | number | boolean> }[];
}
