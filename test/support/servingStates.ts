import OpenAI from 'openai';
import { eventually, getJson, type ServingProcess } from './servingGroup.ts';

/** The name under which the stand-in model is served. */
export const model = 'Qwen/Qwen2.5-1.5B-Instruct';

export interface RouterState {
  mode: string;
  indexed_blocks: number;
  events: Record<string, number>;
  models: string[];
  workers: { worker_id: string; indexed_blocks: number; active_requests: number; last_event_id: number | null }[];
}
export interface EngineState {
  instance_id: string;
  engine: { running: number; waiting: number; cachedBlocks: number; computedTokens: number };
  requests: { total: number; running: number; cancelled: number };
  kv_events: { last_event_id: number; connected: boolean };
}

/** A prompt of several hundred tokens that begins differently for each topic. */
export const messages = (topic: string, question = 'What is it?'): OpenAI.ChatCompletionMessageParam[] => [
  { role: 'system', content: `You explain ${topic}. ${`Answer about ${topic} in short and friendly words. `.repeat(8)}` },
  { role: 'user', content: question },
];

export async function ready(frontend: ServingProcess, workers: number): Promise<void> {
  await eventually(
    () => getJson<RouterState>(`${frontend.url}/router/state`),
    (state) => state.workers.length === workers,
  );
}

/** An error as the openai client throws it. */
export async function failure(promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  throw new Error('the request was answered');
}
