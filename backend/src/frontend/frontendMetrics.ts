import type { MigrationRecord, ModelDeploymentCard, RoutingDecision } from '../protocol/index.ts';
import { MetricsRegistry, powersOfTwo } from '../observability/index.ts';
import { DisaggregationMetrics } from './disaggregationMetrics.ts';
import { StageGauge } from './stageGauge.ts';
import { WorkerGauges, type WorkerSeries } from './workerGauges.ts';
import type { WorkerRole } from './workerPool.ts';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const tokens = [1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384];
const microsteps = powersOfTwo(0.0001, 18);

/** Why a request has no complete answer. A client that left is `cancelled`. */
export type ErrorType = '' | 'validation' | 'not_found' | 'overload' | 'cancelled' | 'internal';

/** What a frontend counts, under Dynamo's names. */
export class FrontendMetrics {
  readonly disaggregation: DisaggregationMetrics;
  readonly stages: StageGauge;
  readonly workers: WorkerGauges;
  readonly #metrics: MetricsRegistry;
  readonly #requests;
  readonly #active;
  readonly #disconnected;
  readonly #rejections;
  readonly #migrations;
  readonly #tooLongToMigrate;
  readonly #input;
  readonly #cached;
  readonly #output;
  readonly #outputTotal;
  readonly #firstToken;
  readonly #nextToken;
  readonly #duration;
  readonly #hitRate;
  readonly #routed;
  readonly #events;
  readonly #overhead;
  readonly #cards;

  constructor(namespace: string, workers: () => WorkerSeries[], queued: () => { model: string; waiting: number }[] = () => []) {
    const metrics = new MetricsRegistry();
    this.#metrics = metrics;
    this.disaggregation = new DisaggregationMetrics(metrics);
    this.stages = new StageGauge(metrics);
    this.workers = new WorkerGauges(metrics, workers);
    const model = ['model'] as const;
    this.#requests = metrics.counter('dynamo_frontend_requests_total', 'HTTP requests', ['model', 'endpoint', 'request_type', 'status', 'error_type']);
    this.#active = metrics.gauge('dynamo_frontend_active_requests', 'Requests being answered', model);
    // The older name of the same series, which dashboards still use.
    metrics.gauge('dynamo_frontend_inflight_requests', 'Requests being answered', model, (gauge) => {
      gauge.reset();
      for (const [name, value] of this.#activeByModel) gauge.set({ model: name }, value);
    });
    this.#disconnected = metrics.counter('dynamo_frontend_disconnected_clients', 'Clients that left before their answer was complete', model);
    this.#rejections = metrics.counter('dynamo_frontend_model_rejection_total', 'Requests that no worker could take', ['model', 'gate']);
    this.#migrations = metrics.counter('dynamo_frontend_model_migration_total', 'Requests that went on to another worker', ['model', 'migration_type']);
    this.#tooLongToMigrate = metrics.counter(
      'dynamo_frontend_model_migration_max_seq_len_exceeded_total',
      'Requests that could not go on elsewhere: too long',
      model,
    );
    this.#input = metrics.histogram('dynamo_frontend_input_sequence_tokens', 'Prompt tokens', tokens, model);
    this.#cached = metrics.histogram('dynamo_frontend_cached_tokens', 'Prompt tokens that the worker had cached', [0, ...tokens], model);
    this.#output = metrics.histogram('dynamo_frontend_output_sequence_tokens', 'Generated tokens', tokens, model);
    this.#outputTotal = metrics.counter('dynamo_frontend_output_tokens_total', 'Generated tokens', model);
    this.#firstToken = metrics.histogram('dynamo_frontend_time_to_first_token_seconds', 'From the request to its first token', seconds, model);
    this.#nextToken = metrics.histogram('dynamo_frontend_inter_token_latency_seconds', 'Between tokens of one answer', seconds, model);
    this.#duration = metrics.histogram('dynamo_frontend_request_duration_seconds', 'From the request to the end of its answer', seconds, model);
    const labels = ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint'] as const;
    const component = { decode: componentLabels(namespace, 'backend'), prefill: componentLabels(namespace, 'prefill') };
    const hitRate = metrics.histogram(
      'dynamo_component_router_kv_hit_rate',
      'Share of a prompt’s blocks that the chosen worker was believed to hold',
      [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
      labels,
    );
    this.#hitRate = { observe: (value: number, role: WorkerRole) => hitRate.observe(component[role], value) };
    const routed = metrics.counter('dynamo_component_router_requests_total', 'Requests that were routed', [...labels, 'worker_id']);
    this.#routed = { inc: (worker_id: string, role: WorkerRole) => routed.inc({ ...component[role], worker_id }) };
    const events = metrics.counter('dynamo_component_kv_cache_events_applied', 'KV events that came in, by what became of them', [
      ...labels,
      'status',
      'event_type',
    ]);
    this.#events = {
      inc: (status: string, event_type: string, role: WorkerRole) => events.inc({ ...component[role], status, event_type }),
    };
    const overhead = (name: string, help: string) => metrics.histogram(`dynamo_router_overhead_${name}_ms`, help, microsteps);
    this.#overhead = {
      hashing: overhead('block_hashing', 'Hashing the prompt’s blocks'),
      find: overhead('indexer_find_matches', 'Looking the blocks up'),
      scheduling: overhead('scheduling', 'Scoring and choosing'),
      total: overhead('total', 'All of routing'),
    };
    const card = (name: string, help: string) => metrics.gauge(`dynamo_frontend_model_${name}`, help, model);
    this.#cards = {
      total_kv_blocks: card('total_kv_blocks', 'KV blocks of one worker'),
      max_num_seqs: card('max_num_seqs', 'Requests in one batch'),
      max_num_batched_tokens: card('max_num_batched_tokens', 'Tokens in one step'),
      context_length: card('context_length', 'Tokens of prompt and answer'),
      kv_cache_block_size: card('kv_cache_block_size', 'Tokens per KV block'),
      migration_limit: card('migration_limit', 'Times a request may go on at another worker'),
    };
    metrics.gauge('dynamo_frontend_router_queue_pending_requests', 'Requests that wait because every worker is saturated', model, (gauge) => {
      for (const { model: name, waiting } of queued()) gauge.set({ model: name }, waiting);
    });
  }

  readonly #activeByModel = new Map<string, number>();

  /** `migrationLimit`: the frontend's own. */
  setModel(name: string, card: ModelDeploymentCard, migrationLimit = card.migration_limit): void {
    this.#cards.migration_limit.set({ model: name }, migrationLimit);
    const fields = ['total_kv_blocks', 'max_num_seqs', 'max_num_batched_tokens', 'context_length', 'kv_cache_block_size'] as const;
    for (const field of fields) this.#cards[field].set({ model: name }, card[field]);
  }

  started(model: string): void {
    this.#active.inc({ model });
    this.#activeByModel.set(model, (this.#activeByModel.get(model) ?? 0) + 1);
  }

  finished(model: string, durationMs: number): void {
    this.#active.dec({ model });
    this.#activeByModel.set(model, (this.#activeByModel.get(model) ?? 1) - 1);
    this.#duration.observe({ model }, durationMs / 1000);
  }

  /** As Dynamo's: status `success` with an empty `error_type`, else status `error`. */
  answered(model: string, endpoint: string, requestType: 'stream' | 'unary', errorType: ErrorType): void {
    this.#requests.inc({ model, endpoint, request_type: requestType, status: errorType === '' ? 'success' : 'error', error_type: errorType });
  }

  disconnected(model: string): void {
    this.#disconnected.inc({ model });
  }

  rejected(model: string, gate: string): void {
    this.#rejections.inc({ model, gate });
  }

  migrated(model: string, migration_type: MigrationRecord['migration_type']): void {
    this.#migrations.inc({ model, migration_type });
  }

  tooLongToMigrate(model: string): void {
    this.#tooLongToMigrate.inc({ model });
  }

  prompt(model: string, length: number): void {
    this.#input.observe({ model }, length);
  }

  firstToken(model: string, ttftMs: number, cachedTokens: number): void {
    this.#firstToken.observe({ model }, ttftMs / 1000);
    this.#cached.observe({ model }, cachedTokens);
  }

  nextTokens(model: string, count: number, elapsedMs: number): void {
    for (let i = 0; i < count; i++) this.#nextToken.observe({ model }, elapsedMs / 1000 / count);
  }

  output(model: string, count: number): void {
    this.#output.observe({ model }, count);
    this.#outputTotal.inc({ model }, count);
  }

  decided(decision: RoutingDecision, role: WorkerRole): void {
    const { timing_us, chosen, request_blocks } = decision;
    this.#overhead.hashing.observe(timing_us.hashing / 1000);
    this.#overhead.find.observe(timing_us.find_matches / 1000);
    this.#overhead.scheduling.observe(timing_us.scoring / 1000);
    this.#overhead.total.observe(timing_us.total / 1000);
    this.#routed.inc(chosen.worker_id, role);
    if (decision.mode === 'kv' && request_blocks > 0) this.#hitRate.observe(chosen.overlap_blocks / request_blocks, role);
  }

  kvEvent(status: string, eventType: string, role: WorkerRole): void {
    this.#events.inc(status, eventType, role);
  }

  text(): Promise<string> {
    return this.#metrics.text();
  }

  get contentType(): string {
    return this.#metrics.contentType;
  }
}

function componentLabels(dynamo_namespace: string, dynamo_component: string) {
  return { dynamo_namespace, dynamo_component, dynamo_endpoint: 'generate' };
}
