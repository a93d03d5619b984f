import { createParser } from 'eventsource-parser';

/** One answer of `/v1/completions`, streamed or not: all that can differ between two runs of a request. */
export interface Answer {
  /** HTTP status; 0 when the connection broke. */
  status: number;
  requestId: string;
  text: string;
  /** The tokens' texts, and the log probabilities as the JSON had them. */
  tokens: string[];
  logprobs: number[];
  topLogprobs: Record<string, number>[];
  finish: string | undefined;
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens: number } };
  /** What was answered instead, or in the middle of a stream. */
  error?: { code: string; message: string };
}

interface Choice {
  text: string;
  finish_reason?: string | null;
  logprobs?: { tokens: string[]; token_logprobs: number[]; top_logprobs?: Record<string, number>[] } | null;
}
interface Body {
  choices?: Choice[];
  usage?: Answer['usage'] | null;
  error?: { code: string; message: string };
}

export interface CompletionRequestBody {
  model: string;
  prompt: string | number[];
  max_tokens: number;
  temperature?: number;
  seed?: number;
  logprobs?: number;
  ignore_eos?: boolean;
  stream?: boolean;
  [field: string]: unknown;
}

let serial = 0;

/** Sends one completion request and takes in what comes; an error is part of the answer and never thrown. `onToken` is called as tokens come. */
export async function complete(
  frontend: { url: string },
  body: CompletionRequestBody,
  options: { signal?: AbortSignal; requestId?: string; onToken?: (answer: Answer) => void } = {},
): Promise<Answer> {
  const requestId = options.requestId ?? `test-${process.pid}-${serial++}`;
  const answer: Answer = { status: 0, requestId, text: '', tokens: [], logprobs: [], topLogprobs: [], finish: undefined };
  try {
    const response = await fetch(`${frontend.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': requestId },
      body: JSON.stringify(body),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    answer.status = response.status;
    if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) {
      take(answer, (await response.json()) as Body);
      return answer;
    }
    const parser = createParser({
      onEvent: ({ data }) => {
        if (data === '[DONE]') return;
        take(answer, JSON.parse(data) as Body);
        options.onToken?.(answer);
      },
    });
    const text = new TextDecoder();
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) parser.feed(text.decode(chunk, { stream: true }));
  } catch (error) {
    answer.error ??= { code: 'CONNECTION', message: (error as Error).message };
  }
  return answer;
}

function take(answer: Answer, { choices = [], usage, error }: Body): void {
  if (error !== undefined) answer.error = error;
  if (usage !== undefined && usage !== null) answer.usage = usage;
  for (const { text, finish_reason, logprobs } of choices) {
    answer.text += text;
    answer.finish = finish_reason ?? answer.finish;
    answer.tokens.push(...(logprobs?.tokens ?? []));
    answer.logprobs.push(...(logprobs?.token_logprobs ?? []));
    answer.topLogprobs.push(...(logprobs?.top_logprobs ?? []));
  }
}

/** What must be equal to the bit in two answers to one request. */
export function sameWords({ text, tokens, logprobs, topLogprobs, finish }: Answer): unknown {
  return { text, tokens, logprobs, topLogprobs, finish };
}
