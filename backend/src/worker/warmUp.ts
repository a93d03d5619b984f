import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { LlmEngine } from '../engine/index.ts';
import { createLogger, Tracing } from '../observability/index.ts';
import type { PreprocessedRequest } from '../protocol/index.ts';
import { Resources, TcpRequestClient, tcpOptionsFromEnv, TcpRequestServer } from '../runtime/index.ts';
import { generateEndpoint } from './generateEndpoint.ts';
import { KvEventPublisher } from './kvEventPublisher.ts';
import { tracedEndpoint } from './tracedEndpoint.ts';
import { WorkerMetrics } from './workerMetrics.ts';

const rounds = 2;
const together = 3;
const promptTokens = 40;
const answerTokens = 4;
/** 4 MB: the shim gives young objects 1 MB at a time, in two halves. */
const arrays = 512;
const arrayLength = 1_000;

/**
 * Serves a few requests before anybody can send one, so that the first real one does not find code uncompiled (vLLM's warm-up): over a request plane of its
 * own, traced, measured and with its KV events encoded, on the engine's rehearsal. Nothing of it is left in the cache, in events, counters, spans or logs.
 * Then collects the garbage of starting, which would otherwise be collected while requests wait.
 */
export async function warmUp(engine: Pick<LlmEngine, 'rehearsal'>, signal?: AbortSignal): Promise<void> {
  const rehearsal = engine.rehearsal?.();
  if (rehearsal !== undefined) await rehearse(rehearsal, signal);
  collectGarbage();
}

async function rehearse(engine: NonNullable<ReturnType<NonNullable<LlmEngine['rehearsal']>>>, signal: AbortSignal | undefined): Promise<void> {
  const { contextLength, blockTokens, vocabSize } = engine.model;
  const length = Math.min(promptTokens, contextLength - answerTokens - 1);
  if (length < 1) return;
  const resources = new Resources();
  const logger = createLogger({ target: 'dynamo::vllm::warm_up', write: () => {} });
  const metrics = new WorkerMetrics({ namespace: 'warm-up', component: 'warm-up', endpoint: 'generate', model: 'warm-up' });
  metrics.observe(engine);
  const options = { ...tcpOptionsFromEnv({}), host: '127.0.0.1', port: 0 };
  const state = { kind: 'zmq' as const, connected: false, address: '', published: 0, dropped: 0, received: 0, reconnects: 0 };
  try {
    const tracing = resources.use(await Tracing.open({ service: 'warm-up', logger, env: {} }));
    const publisher = resources.use(new KvEventPublisher({ plane: { kind: state.kind, state, publish: () => {} }, workerId: 0n, logger }));
    resources.use(engine.onKvEvent(publisher.publish));
    const server = resources.use(await TcpRequestServer.listen(options));
    const client = resources.use(new TcpRequestClient(options));
    const generate = generateEndpoint({ engine, metrics, logger, logRequests: true, maxModelLen: contextLength, onStepFailed: () => {} });
    server.serve('generate', tracedEndpoint(generate, { tracing, component: 'warm-up', endpoint: 'generate' }));
    const ask = async (number: number): Promise<void> => {
      const payload: PreprocessedRequest & { traceparent: string } = {
        request_id: `warm-up-${number}`,
        model: 'warm-up',
        // The second round finds the blocks of the first.
        token_ids: Array.from({ length }, (_, i) => (i < blockTokens ? i : i + number) % vocabSize),
        stop_conditions: { max_tokens: answerTokens, ignore_eos: true },
        sampling_options: { temperature: 0.7, top_p: 0.9, seed: number },
        output_options: number % together === 0 ? { logprobs: 1 } : {},
        traceparent: `00-${(number + 1).toString(16).padStart(32, '0')}-${'1'.padStart(16, '0')}-00`,
      };
      for await (const _ of client.call({ address: server.address, endpoint: 'generate', requestId: payload.request_id, payload, ...(signal && { signal }) }));
    };
    for (let round = 0; round < rounds; round++) await Promise.all(Array.from({ length: together }, (_, i) => ask(round * together + i)));
    publisher.flush();
    await metrics.text();
  } finally {
    await resources.close();
  }
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  // It gave the pages of young objects back to the system. They are met again now, not one by one in the first collections while requests wait.
  const young: number[][] = [];
  for (let i = 0; i < arrays; i++) young[i % 8] = new Array<number>(arrayLength).fill(i);
}
