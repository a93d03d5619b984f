import type { EngineOutput, ModelDeploymentCard, PreprocessedRequest } from '../protocol/index.ts';
import type { TextCodec } from '../preprocess/index.ts';
import { createLogger, type Logger } from '../observability/index.ts';
import { testCard } from '../runtime/discovery/discovery.contract.ts';
import type { Instance, RequestCall, RequestPlaneClient } from '../runtime/index.ts';

/** For tests: a text codec where each token is one character. */
export const characterCodec: TextCodec = {
  vocabSize: 0x110000,
  longestToken: 2,
  eosTokenIds: [0],
  encode: (text) => Array.from(text, (character) => character.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids.filter((id) => id > 0)),
  stream: () => ({ push: (ids: number[]) => characterCodec.decode(ids), end: () => '' }) as ReturnType<TextCodec['stream']>,
  applyChat: (messages) => messages.map(({ content }) => content).join('\n'),
  tokenizeChat: (messages) => characterCodec.encode(characterCodec.applyChat(messages)),
};

export function instanceOf(id: number, card: Partial<ModelDeploymentCard> = {}): Instance {
  const address = `worker-${id}`;
  return {
    instanceId: BigInt(id),
    pod: `pod-${id}`,
    namespace: 'dynamo',
    component: 'backend',
    endpoints: { generate: { tcp: address }, kv_events: { tcp: address } },
    modelCard: { ...testCard, display_name: 'model', ...card },
    eventChannels: { 'kv-events': { kind: 'Zmq', endpoint: `tcp://${address}` } },
  };
}

type Handler = (call: RequestCall) => AsyncIterable<unknown>;

/** For tests: a request plane whose workers are functions. */
export class FunctionPlane implements RequestPlaneClient {
  readonly plane = 'function';
  readonly calls: RequestCall[] = [];
  readonly #handler: Handler;
  constructor(handler: Handler) {
    this.#handler = handler;
  }
  async *call<T>(call: RequestCall): AsyncIterableIterator<T> {
    this.calls.push(call);
    for await (const item of this.#handler(call)) {
      call.signal?.throwIfAborted();
      yield item as T;
    }
  }
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** For tests: an answer of these texts, one token per character, one output per text. */
export async function* outputsOf(texts: readonly string[], promptTokens = 1): AsyncIterable<EngineOutput> {
  const prompt = { prompt_tokens: promptTokens, cached_tokens: 0, computed_tokens: promptTokens, cached_blocks: 0, queue_us: 0, prefill_us: 1_000 };
  for (const [index, text] of texts.entries()) {
    yield {
      token_ids: characterCodec.encode(text),
      ...(index === 0 ? { prompt } : {}),
      ...(index === texts.length - 1 ? { finish_reason: 'length' as const } : {}),
    };
  }
}

export function requestOf(tokens: number[], id = 'r1'): PreprocessedRequest {
  return { request_id: id, model: 'model', token_ids: tokens, stop_conditions: { max_tokens: 8 }, sampling_options: { temperature: 0 }, output_options: {} };
}

export function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  return { lines, logger: createLogger({ target: 'test', write: (line) => lines.push(line) }) };
}

export async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('did not happen within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
