import type { LlmEngine } from '../engine/index.ts';
import { MetricsRegistry } from '../observability/index.ts';

export interface WorkerMetricsOptions {
  namespace: string;
  component: string;
  endpoint: string;
  model: string;
}

/** What a worker counts, under Dynamo's and vLLM's names. Engine counters are read when scraped. */
export class WorkerMetrics {
  readonly #metrics: MetricsRegistry;
  readonly #requests;
  readonly #inflight;
  readonly #duration;
  readonly #errors;
  readonly #requestBytes;
  readonly #responseBytes;
  readonly #startedAt = Date.now();
  #total = 0;
  #cancelled = 0;
  #failed = 0;
  #running = 0;

  constructor({ namespace, component, endpoint, model }: WorkerMetricsOptions) {
    const metrics = new MetricsRegistry({ dynamo_namespace: namespace, dynamo_component: component, dynamo_endpoint: endpoint, model, model_name: model });
    this.#metrics = metrics;
    this.#requests = metrics.counter('dynamo_component_requests_total', 'Requests that this endpoint took');
    this.#inflight = metrics.gauge('dynamo_component_inflight_requests', 'Requests being worked on');
    this.#duration = metrics.histogram(
      'dynamo_component_request_duration_seconds',
      'From arrival to the last token',
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120],
    );
    this.#errors = metrics.counter('dynamo_component_errors_total', 'Requests that failed', ['error_type']);
    this.#requestBytes = metrics.counter('dynamo_component_request_bytes_total', 'Payload bytes received on the request plane');
    this.#responseBytes = metrics.counter('dynamo_component_response_bytes_total', 'Payload bytes sent on the request plane');
    metrics.gauge('dynamo_component_uptime_seconds', 'Since the process started', [], (gauge) => gauge.set((Date.now() - this.#startedAt) / 1000));
  }

  get counts(): { total: number; running: number; cancelled: number; failed: number } {
    return { total: this.#total, running: this.#running, cancelled: this.#cancelled, failed: this.#failed };
  }

  get uptimeSeconds(): number {
    return (Date.now() - this.#startedAt) / 1000;
  }

  /** Adds the engine's own counters; once, when it is loaded. */
  observe(engine: Pick<LlmEngine, 'stats'>): void {
    const metrics = this.#metrics;
    const stat = (read: (stats: ReturnType<LlmEngine['stats']>) => number) => () => read(engine.stats());
    metrics.counterFrom(
      'vllm:prompt_tokens_total',
      'Prompt tokens of requests whose prefill is done',
      stat((s) => s.promptTokens),
    );
    metrics.counterFrom(
      'vllm:generation_tokens_total',
      'Tokens generated',
      stat((s) => s.generatedTokens),
    );
    metrics.counterFrom(
      'vllm:prefix_cache_queries_total',
      'Prompt tokens looked up in the prefix cache',
      stat((s) => s.promptTokens),
    );
    metrics.counterFrom(
      'vllm:prefix_cache_hits_total',
      'Prompt tokens found in the prefix cache',
      stat((s) => s.cachedTokens),
    );
    metrics.counterFrom(
      'vllm:external_prefix_cache_hits_total',
      'Prompt tokens whose KV came from a prefill worker',
      stat((s) => s.transferredTokens),
    );
    metrics.counterFrom(
      'dynamo_labs_prompt_tokens_computed_total',
      'Prompt tokens that went through the model here: neither cached nor read from a prefill worker',
      stat((s) => s.promptTokens - s.cachedTokens - s.transferredTokens),
    );
    metrics.counterFrom(
      'vllm:num_preemptions_total',
      'Requests that gave up their blocks and began again',
      stat((s) => s.preemptions),
    );
    const gauge = (name: string, help: string, read: (stats: ReturnType<LlmEngine['stats']>) => number): void => {
      metrics.gauge(name, help, [], (series) => series.set(read(engine.stats())));
    };
    gauge('vllm:num_requests_running', 'Requests in the running batch', (s) => s.running);
    gauge('vllm:num_requests_waiting', 'Requests that wait for a place or for blocks', (s) => s.waiting);
    gauge('dynamo_labs_kv_held_blocks', 'KV blocks of finished prompts that decode workers may still read', (s) => s.heldBlocks);
    gauge('vllm:kv_cache_usage_perc', 'Share of KV blocks in use, 0 to 1', (s) => s.usedBlocks / s.totalBlocks);
    gauge('dynamo_component_total_blocks', 'KV blocks', (s) => s.totalBlocks);
    gauge('dynamo_component_gpu_cache_usage_percent', 'Share of KV blocks in use, 0 to 1', (s) => s.usedBlocks / s.totalBlocks);
    gauge('dynamo_component_kvstats_active_blocks', 'KV blocks of running requests', (s) => s.usedBlocks);
    if (engine.stats().host) this.#observeHostTier(engine);
    gauge('dynamo_labs_cached_blocks', 'KV blocks kept for prompts that begin the same', (s) => s.cachedBlocks);
  }

  /** KVBM's names. */
  #observeHostTier(engine: Pick<LlmEngine, 'stats'>): void {
    const metrics = this.#metrics;
    metrics.counterFrom('kvbm_offload_blocks_d2h', 'KV blocks copied from the pool to the host', () => engine.stats().host?.offloadedBlocks ?? 0);
    metrics.counterFrom('kvbm_onboard_blocks_h2d', 'KV blocks copied from the host to the pool', () => engine.stats().host?.onboardedBlocks ?? 0);
    metrics.counterFrom('kvbm_matched_tokens', 'Prompt tokens found on the host', () => engine.stats().hostCachedTokens);
    metrics.gauge('dynamo_labs_host_cached_blocks', 'KV blocks kept on the host', [], (series) => series.set(engine.stats().host?.usedBlocks ?? 0));
  }

  /** One request begins; call `end` exactly once with its finish reason. */
  start(): { end: (finish: string, bytes: { request: number; response: number }) => void; elapsedMs: () => number } {
    const begin = performance.now();
    this.#total += 1;
    this.#running += 1;
    this.#requests.inc();
    this.#inflight.inc();
    return {
      elapsedMs: () => Math.round(performance.now() - begin),
      end: (finish, bytes) => {
        this.#running -= 1;
        this.#inflight.dec();
        this.#requestBytes.inc(bytes.request);
        this.#responseBytes.inc(bytes.response);
        this.#duration.observe((performance.now() - begin) / 1000);
        if (finish === 'cancelled') this.#cancelled += 1;
        if (finish === 'error') {
          this.#failed += 1;
          this.#errors.inc({ error_type: 'generate' });
        }
      },
    };
  }

  /** For parts of a worker that count by themselves. */
  get registry(): MetricsRegistry {
    return this.#metrics;
  }

  text(): Promise<string> {
    return this.#metrics.text();
  }

  get contentType(): string {
    return this.#metrics.contentType;
  }
}
