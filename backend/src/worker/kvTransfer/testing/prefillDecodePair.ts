import { randomBytes } from 'node:crypto';
import { createLlmEngine, type LlmEngine, type LlmEngineOptions } from '../../../engine/index.ts';
import { createLogger } from '../../../observability/index.ts';
import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../../../protocol/index.ts';
import { NixlConnector, type TransferSettings } from '../index.ts';

export interface TestWorker extends AsyncDisposable {
  engine: LlmEngine;
  connector: NixlConnector;
  events: KvCacheEvent[];
  log: string[];
}

export type TestWorkerOptions = Partial<LlmEngineOptions> & { modelDir: string; settings?: Partial<TransferSettings>; recompute?: boolean; overlap?: boolean };

let serial = 0;

/** An engine and its connector in this process, which real transfer agents join to others. */
export async function testWorker(mode: 'prefill' | 'decode', options: TestWorkerOptions): Promise<TestWorker> {
  const { settings, recompute = false, overlap = false, ...engineOptions } = options;
  const log: string[] = [];
  const connector = new NixlConnector({
    mode,
    instanceId: BigInt(++serial),
    pod: mode,
    recompute,
    overlap,
    logger: createLogger({ target: mode, write: (line) => log.push(line) }),
    settings: {
      listen: [`unix:@dynamo-labs-${randomBytes(6).toString('hex')}`, 'tcp:127.0.0.1:0'],
      token: 'test',
      leaseMs: 30_000,
      readMs: 30_000,
      transports: undefined,
      faults: undefined,
      ...settings,
    },
  });
  const events: KvCacheEvent[] = [];
  const engine = await createLlmEngine({
    blocks: 64,
    blockTokens: 16,
    maxNumSeqs: 8,
    maxNumBatchedTokens: 256,
    enablePrefixCaching: true,
    threads: 1,
    connector,
    ...engineOptions,
  });
  engine.onKvEvent((event) => events.push(event));
  return {
    engine,
    connector,
    events,
    log,
    async [Symbol.asyncDispose]() {
      await engine[Symbol.asyncDispose]();
      connector[Symbol.dispose]();
    },
  };
}

export interface AskOptions {
  max_tokens?: number;
  seed?: number;
  temperature?: number;
  request_id?: string;
}

export function promptRequest(tokens: number[], { max_tokens = 6, seed = 1, temperature = 0, request_id = 'r' }: AskOptions = {}): PreprocessedRequest {
  return {
    request_id,
    model: 'tiny',
    token_ids: tokens,
    stop_conditions: { max_tokens, ignore_eos: true },
    sampling_options: { temperature, seed },
    output_options: { logprobs: 3 },
  };
}

export async function answerOf(
  { engine }: { engine: LlmEngine },
  request: PreprocessedRequest,
  signal = new AbortController().signal,
): Promise<EngineOutput[]> {
  const outputs: EngineOutput[] = [];
  for await (const output of engine.generate(request, signal)) outputs.push(output);
  return outputs;
}

/** As the frontend asks a prefill worker. */
export function prefillRequest(request: PreprocessedRequest): PreprocessedRequest {
  return { ...request, stop_conditions: { max_tokens: 1, min_tokens: 1, ignore_eos: true }, kv_transfer_params: { do_remote_decode: true } };
}

/** As the frontend asks a decode worker: what the prefill worker said went through JSON. */
export function decodeRequest(request: PreprocessedRequest, prefilled: EngineOutput): PreprocessedRequest {
  if (prefilled.disaggregated_params === undefined) throw new Error(`no disaggregated_params: ${JSON.stringify(prefilled)}`);
  return JSON.parse(JSON.stringify({ ...request, prefill_result: { disaggregated_params: prefilled.disaggregated_params } })) as PreprocessedRequest;
}

/** Prefill here, decode there. */
export async function disaggregated(prefill: TestWorker, decode: TestWorker, request: PreprocessedRequest, signal?: AbortSignal): Promise<EngineOutput[]> {
  const [first] = await answerOf(prefill, prefillRequest(request), signal);
  return answerOf(decode, decodeRequest(request, first!), signal);
}

/** Tokens, log-probabilities and alternatives: what must be equal to the bit. */
export function drawn(outputs: readonly EngineOutput[]): unknown {
  return outputs.map(({ token_ids, log_probs, top_logprobs, finish_reason }) => ({ token_ids, log_probs, top_logprobs, finish_reason }));
}
