import { randomInt } from 'node:crypto';
import type { EngineOutput, MigrationRecord, PreprocessedRequest } from '../protocol/index.ts';
import type { Logger } from '../observability/index.ts';
import type { Dispatch, Operator } from './dispatch.ts';
import type { FrontendMetrics } from './frontendMetrics.ts';
import { causeOf } from './requestCause.ts';
import { WorkerLostError } from './workerLostError.ts';

export interface MigrationOptions {
  next: Operator;
  metrics: FrontendMetrics;
  logger: Logger;
  /** Times a request may go on elsewhere (`--migration-limit`). Default: what the model's card says. */
  limit: number | undefined;
  /** Prompt and answer longer than this are not replayed (`--migration-max-seq-len`). */
  maxSeqLen: number | undefined;
}

/** JavaScript's whole numbers, and what `randomInt` draws. */
const seedBound = 2 ** 48 - 1;

/**
 * Dynamo's Migration operator: when the worker of an answer is lost, the prompt and the tokens that were given so far go to another worker, which
 * goes on with what is left of the budget. Before its first token a request goes on once even with limit 0: nothing is computed twice then.
 */
export class Migration implements Operator {
  readonly #options: MigrationOptions;

  constructor(options: MigrationOptions) {
    this.#options = options;
  }

  async *generate(dispatch: Dispatch): AsyncIterableIterator<EngineOutput> {
    const { next } = this.#options;
    const original = withSeed(dispatch.request);
    const given: number[] = [];
    const lost = new Set<bigint>();
    let request = original;
    for (let migrations = 0; ; migrations++) {
      try {
        for await (const output of next.generate({ ...dispatch, request, lost })) {
          for (const token of output.token_ids) given.push(token);
          yield migrations > 0 && request.replayed_tokens !== undefined ? withoutPrompt(output) : output;
        }
        return;
      } catch (error) {
        if (!(error instanceof WorkerLostError) || dispatch.signal.aborted) throw error;
        lost.add(error.workerId);
        if (!this.#mayMigrate(dispatch, error, { migrations, given: given.length, lost })) throw error;
        this.#record(dispatch, error, given.length);
        request = given.length === 0 ? original : replay(original, given);
        // It was lost between its last token and its word that this was the last.
        if (request.stop_conditions.max_tokens <= 0) return yield { token_ids: [], finish_reason: 'length' };
      }
    }
  }

  #mayMigrate(dispatch: Dispatch, error: WorkerLostError, state: { migrations: number; given: number; lost: ReadonlySet<bigint> }): boolean {
    const { model, request, pin } = dispatch;
    const { metrics, logger, maxSeqLen } = this.#options;
    const limit = this.#options.limit ?? model.card.migration_limit;
    const allowed = state.given === 0 ? Math.max(1, limit) : limit;
    if (state.migrations >= allowed || (pin !== undefined && pin.workerId === error.workerId)) return false;
    if (![...model.workers.keys()].some((id) => !state.lost.has(id))) return false;
    const length = request.token_ids.length + state.given;
    if (state.given > 0 && maxSeqLen !== undefined && length > maxSeqLen) {
      metrics.tooLongToMigrate(model.name);
      logger.warn(`no migration: ${length} tokens are over --migration-max-seq-len ${maxSeqLen}`, { request_id: request.request_id });
      return false;
    }
    return true;
  }

  #record({ model, request, tracker, span }: Dispatch, error: WorkerLostError, given: number): void {
    const { metrics, logger } = this.#options;
    const migration: MigrationRecord = {
      migration_type: given === 0 ? 'new_request' : 'ongoing_request',
      from_worker_id: String(error.workerId),
      replayed_tokens: given,
      cause: causeOf(error),
    };
    tracker.migrates(migration);
    span?.event('migration', { migration_type: migration.migration_type, from_worker_id: migration.from_worker_id, replayed_tokens: given });
    metrics.migrated(model.name, migration.migration_type);
    const what = given === 0 ? 'trying another worker' : `Stream disconnected, recreating stream on another worker with ${given} tokens replayed`;
    logger.warn(`${what}: ${error.message}`, { request_id: request.request_id, migration_type: migration.migration_type });
  }
}

/** A draw is a function of seed and position: with a seed, any worker goes on with the tokens this one would have given. */
function withSeed(request: PreprocessedRequest): PreprocessedRequest {
  const { sampling_options: sampling } = request;
  if (sampling.temperature === 0 || sampling.seed !== undefined) return request;
  return { ...request, sampling_options: { ...sampling, seed: randomInt(seedBound) } };
}

function replay(request: PreprocessedRequest, given: readonly number[]): PreprocessedRequest {
  const { max_tokens, min_tokens } = request.stop_conditions;
  return {
    ...request,
    token_ids: [...request.token_ids, ...given],
    replayed_tokens: given.length,
    stop_conditions: {
      ...request.stop_conditions,
      max_tokens: max_tokens - given.length,
      ...(min_tokens === undefined ? {} : { min_tokens: Math.max(0, min_tokens - given.length) }),
    },
  };
}

/** The account of a replayed prompt is in the record; the answer's usage is about the prompt that was sent. */
function withoutPrompt({ prompt: _prompt, ...output }: EngineOutput): EngineOutput {
  return output;
}
