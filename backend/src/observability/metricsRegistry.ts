import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Label values that every series of a process carries, e.g. `dynamo_namespace`, `dynamo_component`, `dynamo_endpoint`. */
export type ConstantLabels = Record<string, string>;

/** Creates metrics under Dynamo's names in one registry, so that a process can serve them and a test can read them. */
export class MetricsRegistry {
  readonly registry = new Registry();

  constructor(labels: ConstantLabels = {}) {
    this.registry.setDefaultLabels(labels);
  }

  counter<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  /** A counter whose value another part already counts: `read` is called on each scrape and must never go down. */
  counterFrom(name: string, help: string, read: () => number): void {
    const counter: Counter = new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        counter.reset();
        counter.inc(read());
      },
    });
  }

  gauge<L extends string = never>(name: string, help: string, labelNames: readonly L[] = [], collect?: (gauge: Gauge<L>) => void): Gauge<L> {
    const gauge: Gauge<L> = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers: [this.registry],
      ...(collect === undefined ? {} : { collect: () => collect(gauge) }),
    });
    return gauge;
  }

  histogram<L extends string = never>(name: string, help: string, buckets: readonly number[], labelNames: readonly L[] = []): Histogram<L> {
    return new Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers: [this.registry] });
  }

  /** Prometheus text exposition. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  get contentType(): string {
    return this.registry.contentType;
  }
}

/** Powers of two from `first`, as Dynamo's latency histograms use. */
export function powersOfTwo(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first * 2 ** index);
}
