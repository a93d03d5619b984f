import type { EngineOutput, PreprocessedRequest, PromptAccount, RoutingDecision } from '../protocol/index.ts';
import type { FrontendMetrics } from './frontendMetrics.ts';
import type { WorkerPool } from './workerPool.ts';

/** What one request does at one worker, told to the pool's router: first token, growth, and the end once. */
export class ActiveRequest {
  readonly #pool: WorkerPool;
  readonly #request: PreprocessedRequest;
  readonly #metrics: FrontendMetrics;
  readonly #worker: RoutingDecision['chosen'];
  /** `performance.now()` of the request's arrival. */
  readonly #begin: number;
  #account: PromptAccount | undefined;
  #ttftMs = 0;
  #lastAt = 0;
  #ended = false;
  #outputTokens = 0;

  constructor(parts: { pool: WorkerPool; request: PreprocessedRequest; worker: RoutingDecision['chosen']; metrics: FrontendMetrics; begin: number }) {
    this.#pool = parts.pool;
    this.#request = parts.request;
    this.#worker = parts.worker;
    this.#metrics = parts.metrics;
    this.#begin = parts.begin;
  }

  add(output: EngineOutput): void {
    if (output.prompt !== undefined) this.#account = output.prompt;
    const now = performance.now();
    if (output.finish_reason !== undefined && this.#pool.role === 'prefill') {
      this.#pool.router.prefillCompleted(this.#request.request_id);
      this.#metrics.workers.firstToken(this.#worker, now - this.#begin, this.#request.token_ids.length);
      this.end('ok');
    }
    if (output.token_ids.length === 0 || this.#ended) return;
    const { router, name, card } = this.#pool;
    const { request_id, token_ids, replayed_tokens = 0 } = this.#request;
    if (this.#outputTokens === 0) {
      this.#ttftMs = now - this.#begin;
      router.prefillCompleted(request_id);
      this.#metrics.workers.firstToken(this.#worker, this.#ttftMs, token_ids.length);
      if (replayed_tokens === 0) this.#metrics.firstToken(name, this.#ttftMs, this.#account?.cached_tokens ?? 0);
    } else {
      this.#metrics.nextTokens(name, output.token_ids.length, now - this.#lastAt);
      this.#metrics.workers.nextToken(this.#worker, (now - this.#lastAt) / output.token_ids.length);
    }
    this.#lastAt = now;
    const size = card.kv_cache_block_size;
    const length = token_ids.length + this.#outputTokens;
    const grown = Math.floor((length + output.token_ids.length) / size) - Math.floor(length / size);
    if (grown > 0) router.outputBlocks(request_id, grown);
    this.#outputTokens += output.token_ids.length;
    if (output.finish_reason !== undefined) this.end(output.finish_reason === 'cancelled' ? 'cancelled' : 'ok');
  }

  end(status: 'ok' | 'error' | 'cancelled', error?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#pool.router.free(this.#request.request_id, {
      status,
      prompt_tokens: this.#request.token_ids.length,
      cached_tokens: this.#account?.cached_tokens ?? 0,
      computed_tokens: this.#account?.computed_tokens ?? 0,
      output_tokens: this.#outputTokens,
      ttft_ms: Math.round(this.#ttftMs * 1000) / 1000,
      duration_ms: Math.round((performance.now() - this.#begin) * 1000) / 1000,
      ...(error === undefined ? {} : { error }),
    });
  }
}
