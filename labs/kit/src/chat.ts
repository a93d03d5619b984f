import { performance } from 'node:perf_hooks';

import { KitError } from './kitError';
import { Rich } from './rich';
import { serverSentEvents } from './serverSentEvents';

export interface ChatOptions {
  /** Base URL of a frontend, e.g. `http://127.0.0.1:30200`. */
  frontend: string;
  model: string;
  /** One user message; or give `messages`. */
  prompt?: string;
  messages?: { role: 'system' | 'user' | 'assistant'; content: string }[];
  maxTokens?: number;
  temperature?: number;
  /** Becomes the id of the routing decision; the frontend makes one otherwise. */
  requestId?: string;
  /** Pins the request to one worker (`x-worker-instance-id`), whatever the router would choose. */
  workerId?: string;
  /** Further fields of the OpenAI request body. */
  extra?: Record<string, unknown>;
  /** Do not print the answer while it comes. */
  quiet?: boolean;
  /** Default two minutes for the whole answer. */
  deadlineMs?: number;
}

export interface ChatUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Prompt tokens that came out of the worker's prefix cache. */
  prompt_tokens_details?: { cached_tokens?: number };
}

/** An answer with the figures the labs ask about. */
export class ChatAnswer extends Rich {
  readonly text: string;
  readonly usage: ChatUsage | undefined;
  /** `x-request-id`; `router.decision(requestId)` explains where it was sent. */
  readonly requestId: string;
  /** Milliseconds from sending to the first text. */
  readonly ttftMs: number;
  readonly durationMs: number;

  constructor(fields: { text: string; usage: ChatUsage | undefined; requestId: string; ttftMs: number; durationMs: number }) {
    super();
    this.text = fields.text;
    this.usage = fields.usage;
    this.requestId = fields.requestId;
    this.ttftMs = fields.ttftMs;
    this.durationMs = fields.durationMs;
  }

  override bundle(): { 'text/plain': string } {
    const { usage } = this;
    const tokens = usage
      ? `${usage.prompt_tokens} prompt tokens (${usage.prompt_tokens_details?.cached_tokens ?? 0} cached), ${usage.completion_tokens} answered, `
      : '';
    return { 'text/plain': `[${tokens}first token after ${this.ttftMs.toFixed(0)} ms, request ${this.requestId}]` };
  }
}

/**
 * Asks a frontend through its OpenAI interface and prints the answer as it streams in.
 *
 * @throws {KitError} `CHAT_FAILED` when the frontend refuses, is not there, or breaks off.
 */
export async function chat(options: ChatOptions): Promise<ChatAnswer> {
  const started = performance.now();
  const signal = AbortSignal.timeout(options.deadlineMs ?? 120_000);
  const response = await send(options, signal);
  let text = '';
  let usage: ChatUsage | undefined;
  let ttftMs = Number.NaN;
  try {
    for await (const data of serverSentEvents(response.body!)) {
      if (data === '[DONE]') break;
      const chunk = JSON.parse(data) as { choices?: { delta?: { content?: string } }[]; usage?: ChatUsage | null; error?: { message: string } };
      if (chunk.error) throw new KitError('CHAT_FAILED', chunk.error.message);
      if (chunk.usage) usage = chunk.usage;
      const piece = chunk.choices?.[0]?.delta?.content ?? '';
      if (piece === '') continue;
      if (text === '') ttftMs = performance.now() - started;
      text += piece;
      if (!options.quiet) process.stdout.write(piece);
    }
  } catch (cause) {
    if (cause instanceof KitError) throw cause;
    throw new KitError('CHAT_FAILED', `The answer broke off after ${text.length} characters: ${(cause as Error).message}`, cause);
  }
  if (!options.quiet && text !== '') process.stdout.write('\n');
  return new ChatAnswer({
    text,
    usage,
    requestId: response.headers.get('x-request-id') ?? options.requestId ?? '',
    ttftMs,
    durationMs: performance.now() - started,
  });
}

async function send(options: ChatOptions, signal: AbortSignal): Promise<Response> {
  const messages = options.messages ?? [{ role: 'user', content: options.prompt ?? '' }];
  const body = {
    model: options.model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...(options.maxTokens === undefined ? {} : { max_tokens: options.maxTokens }),
    ...(options.temperature === undefined ? {} : { temperature: options.temperature }),
    ...options.extra,
  };
  const url = new URL('/v1/chat/completions', options.frontend);
  const headers = {
    'content-type': 'application/json',
    ...(options.requestId === undefined ? {} : { 'x-request-id': options.requestId }),
    ...(options.workerId === undefined ? {} : { 'x-worker-instance-id': options.workerId }),
  };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal }).catch((cause: Error) => {
    throw new KitError('CHAT_FAILED', `Nobody answers at ${url.origin}: ${reason(cause)}. Is the frontend ready, and is this its address?`, cause);
  });
  if (response.ok) return response;
  const answer = (await response.json().catch(() => ({}))) as { error?: { message?: string } };
  throw new KitError('CHAT_FAILED', `The frontend refused the request (${response.status}): ${answer.error?.message ?? response.statusText}`);
}

function reason(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}
