import type { EngineOutput, ModelDeploymentCard, PreprocessedRequest, RequestRecord } from '../protocol/index.ts';
import type { Instance, RequestCall } from '../runtime/index.ts';
import { Dispatcher, type DispatcherOptions, type DispatchRequest } from './dispatcher.ts';
import { characterCodec, FunctionPlane, instanceOf, recordingLogger, requestOf } from './frontendFixture.ts';
import { FrontendMetrics } from './frontendMetrics.ts';
import { ModelManager, type ModelManagerOptions } from './modelManager.ts';
import { RequestRecordStore } from './requestRecordStore.ts';
import type { ServedModel } from './servedModel.ts';

export function prefillInstanceOf(id: number, card: Partial<ModelDeploymentCard> = {}): Instance {
  const instance = instanceOf(id, { model_type: 'prefill', ...card });
  return { ...instance, component: 'prefill', endpoints: { ...instance.endpoints, release_kv_blocks: { tcp: `worker-${id}` } } };
}

export type FakeWorker = (request: PreprocessedRequest, call: RequestCall) => AsyncIterable<EngineOutput>;

/** For tests: what a prefill worker ends with. */
export async function* prefilled(request: PreprocessedRequest, worker = 11): AsyncIterable<EngineOutput> {
  const length = request.token_ids.length;
  yield {
    token_ids: [],
    finish_reason: 'length',
    prompt: { prompt_tokens: length, cached_tokens: 0, computed_tokens: length, cached_blocks: 0, queue_us: 5, prefill_us: 2_000 },
    disaggregated_params: { worker_id: String(worker), kv_transfer_params: { do_remote_prefill: true, remote_request_id: request.request_id } },
  };
}

/** For tests: an answer that goes on where the prompt ends: each token is its position. Reads KV blocks when told to. */
export async function* positions(request: PreprocessedRequest): AsyncIterable<EngineOutput> {
  const length = request.token_ids.length;
  const max = request.stop_conditions.max_tokens;
  const remote = request.prefill_result !== undefined;
  for (let i = 0; i < max; i++) {
    yield {
      token_ids: [length + i],
      ...(i === 0
        ? {
            prompt: {
              prompt_tokens: length,
              cached_tokens: 0,
              ...(remote ? { transferred_tokens: length - 1 } : {}),
              computed_tokens: remote ? 1 : length,
              cached_blocks: 0,
              queue_us: 0,
              prefill_us: 100,
            },
          }
        : {}),
      ...(i === 0 && remote
        ? {
            kv_transfer: {
              status: 'ok',
              transport: 'shm',
              blocks: 3,
              block_bytes: 10,
              bytes: 30,
              tokens: length - 1,
              wait_us: 0,
              transfer_us: 7,
              retries: 0,
              resumed: false,
            },
          }
        : {}),
      ...(i === max - 1 ? { finish_reason: 'length' } : {}),
    };
  }
}

export interface DispatchRoomOptions extends Partial<Omit<DispatcherOptions, 'requests' | 'metrics' | 'logger'>> {
  prefill?: number[];
  decode?: number[];
  /** By worker number; prefill workers are expected above 10. */
  worker?: (id: number, request: PreprocessedRequest, call: RequestCall) => AsyncIterable<EngineOutput>;
  router?: ModelManagerOptions['router'];
  card?: Partial<ModelDeploymentCard>;
}

/** For tests: a dispatcher before workers that are functions. */
export async function dispatchRoom(options: DispatchRoomOptions = {}) {
  const { prefill = [11], decode = [1, 2], router = { mode: 'kv' }, card = {}, worker = ordinary, ...dispatcherOptions } = options;
  const released: unknown[] = [];
  async function* release(payload: unknown): AsyncIterable<unknown> {
    released.push(payload);
    yield { released: true };
  }
  const requests = new FunctionPlane((call) =>
    call.endpoint === 'release_kv_blocks'
      ? release(call.payload)
      : worker(Number(call.address.replace('worker-', '')), call.payload as PreprocessedRequest, call),
  );
  const { logger, lines } = recordingLogger();
  const models = new ModelManager({ router, blockSize: undefined, eventPlane: undefined, requests, logger, loadCodec: async () => characterCodec });
  for (const id of decode) {
    const instance = instanceOf(id, card);
    models.added({ ...instance, endpoints: { ...instance.endpoints, fetch_kv_blocks: { tcp: `worker-${id}` } } });
  }
  for (const id of prefill) models.added(prefillInstanceOf(id, card));
  await models.settled();
  const metrics = new FrontendMetrics('dynamo', () => []);
  const dispatcher = new Dispatcher({ requests, metrics, logger, overloadStatus: 529, ...dispatcherOptions });
  const records = new RequestRecordStore();
  const model = models.get('model') as ServedModel;
  const begin = (request: PreprocessedRequest) => records.begin({ requestId: request.request_id, model: 'model', promptTokens: request.token_ids.length });
  const dispatch = async (more: Partial<DispatchRequest> = {}): Promise<{ outputs: EngineOutput[]; record: RequestRecord }> => {
    const request = more.request ?? requestOf(promptOf(40));
    const tracker = begin(request);
    const outputs: EngineOutput[] = [];
    const { signal = new AbortController().signal } = more;
    for await (const output of dispatcher.dispatch({ model, request, signal, tracker, ...more })) outputs.push(output);
    return { outputs, record: tracker.record };
  };
  /** Workers asked so far, in order. */
  const asked = (): number[] => requests.calls.filter(({ endpoint }) => endpoint === 'generate').map(({ address }) => Number(address.replace('worker-', '')));
  /** Requests that the routers believe are running. */
  const running = (): number =>
    [model, model.prefill].reduce((sum, pool) => sum + (pool?.router.loads().reduce((all, { activeRequests }) => all + activeRequests, 0) ?? 0), 0);
  return { dispatch, dispatcher, models, model, metrics, records, requests, asked, running, released, lines };
}

export function promptOf(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

function ordinary(id: number, request: PreprocessedRequest): AsyncIterable<EngineOutput> {
  return id > 10 ? prefilled(request, id) : positions(request);
}
