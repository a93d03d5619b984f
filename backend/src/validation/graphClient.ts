import type { RequestRecord, RoutingDecision } from '../protocol/index.ts';
import { ClusterError } from './clusterError.ts';
import type { ClusterView, K8sObject } from './clusterView.ts';
import { parsePromText, type Sample } from './promText.ts';

const graphLabel = 'nvidia.com/dynamo-graph-deployment-name';
const frontendPort = 8000;
const systemPort = 9090;

/** The event plane as a process sees it. Absent fields: events are off. */
export interface EventPlaneView {
  /** `nats` or `zmq`. */
  kind?: string;
  connected?: boolean;
  address?: string;
  published?: number;
  received?: number;
}

/** What `GET /router/state` of a frontend answers, as far as checks read it. */
export interface RouterState {
  mode: string;
  formula: string;
  block_size: number | null;
  weights: Record<string, number>;
  workers: {
    worker_id: string;
    pod?: string;
    indexed_blocks: number;
    last_event_id: number | null;
    active_prefill_tokens: number;
    active_decode_blocks: number;
    active_requests: number;
  }[];
  kv_events: EventPlaneView & { followed: boolean };
  /** Events by outcome: applied, gaps, orphans, … */
  events: Record<string, number>;
}

/** What `GET /engine/state` of a worker answers, as far as checks read it. */
export interface WorkerState {
  engine: {
    totalBlocks: number;
    usedBlocks: number;
    cachedBlocks: number;
    running: number;
    waiting: number;
    promptTokens: number;
    cachedTokens: number;
    computedTokens: number;
    generatedTokens: number;
  };
  requests: { total: number; running: number };
  kv_events: EventPlaneView & { enabled: boolean; last_event_id?: number };
}

export interface ChatRequest {
  model: string;
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[];
  max_tokens?: number;
  temperature?: number;
}

export interface ChatOptions {
  requestId?: string;
  /** Pins the request to a worker (`x-worker-instance-id`). */
  workerId?: string;
  signal?: AbortSignal;
}

export interface ChatAnswer {
  status: number;
  requestId: string;
  text: string;
  usage?: { prompt_tokens: number; completion_tokens: number; prompt_tokens_details?: { cached_tokens: number } };
  error?: { message: string; param?: string | null; type?: string };
}

/** One DynamoGraphDeployment seen from outside: its pods, and their HTTP through the API server. */
export class GraphClient {
  readonly cluster: ClusterView;
  readonly namespace: string;
  readonly name: string;

  constructor(cluster: ClusterView, namespace: string, name: string) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.name = name;
  }

  deployment(): Promise<K8sObject | undefined> {
    return this.cluster.get('nvidia.com/v1alpha1', 'DynamoGraphDeployment', this.name, this.namespace);
  }

  /** Pods of one component type (`frontend`, `worker`), those being deleted left out. */
  async pods(componentType?: string): Promise<K8sObject[]> {
    const labelSelector = `${graphLabel}=${this.name}${componentType === undefined ? '' : `,nvidia.com/dynamo-component-type=${componentType}`}`;
    const pods = await this.cluster.list('v1', 'Pod', { namespace: this.namespace, labelSelector });
    return pods.filter((pod) => pod.metadata?.deletionTimestamp === undefined);
  }

  /** `undefined` when no frontend pod is Ready. */
  async readyFrontend(): Promise<string | undefined> {
    return (await this.pods('frontend')).find(isReady)?.metadata?.name;
  }

  async routerState(frontend: string): Promise<RouterState> {
    return this.#json<RouterState>(frontend, frontendPort, '/router/state');
  }

  /** Decisions of this frontend, oldest first; only those at or after `since` (RFC 3339) and, where given, whose request id starts with `prefix`. */
  async decisions(
    frontend: string,
    options: { since?: string; requestIdPrefix?: string; limit?: number; pool?: 'decode' | 'prefill' } = {},
  ): Promise<RoutingDecision[]> {
    const query = new URLSearchParams({ limit: String(options.limit ?? 1000), ...(options.pool && { pool: options.pool }) });
    const all = await this.#json<RoutingDecision[]>(frontend, frontendPort, `/router/decisions?${query}`);
    return all
      .filter((decision) => options.since === undefined || decision.time >= options.since)
      .filter((decision) => options.requestIdPrefix === undefined || decision.request_id.startsWith(options.requestIdPrefix))
      .toSorted((a, b) => a.sequence - b.sequence);
  }

  /** How this frontend's latest requests were served, oldest first. */
  requestRecords(frontend: string, limit = 1000): Promise<RequestRecord[]> {
    return this.#json<RequestRecord[]>(frontend, frontendPort, `/requests?limit=${limit}`);
  }

  workerState(pod: string): Promise<WorkerState> {
    return this.#json<WorkerState>(pod, systemPort, '/engine/state');
  }

  async metrics(pod: string, port: number): Promise<Sample[]> {
    const answer = await this.cluster.pod(this.namespace, pod, port, '/metrics');
    if (answer.status !== 200) throw new ClusterError(`metrics of ${pod}: HTTP ${answer.status}`, answer.status);
    return parsePromText(answer.body);
  }

  workerMetrics(pod: string): Promise<Sample[]> {
    return this.metrics(pod, systemPort);
  }

  /** One chat completion, not streamed. HTTP errors are part of the answer. */
  async chat(frontend: string, request: ChatRequest, options: ChatOptions = {}): Promise<ChatAnswer> {
    const answer = await this.cluster.pod(this.namespace, frontend, frontendPort, '/v1/chat/completions', {
      method: 'POST',
      body: JSON.stringify({ temperature: 0, ...request }),
      headers: {
        'content-type': 'application/json',
        ...(options.requestId !== undefined && { 'x-request-id': options.requestId }),
        ...(options.workerId !== undefined && { 'x-worker-instance-id': options.workerId }),
      },
      timeoutMs: 120_000,
      ...(options.signal && { signal: options.signal }),
    });
    const body = parseJson(answer.body) as
      | { choices?: { message?: { content?: string } }[]; usage?: ChatAnswer['usage']; error?: ChatAnswer['error'] }
      | undefined;
    const requestId = answer.headers['x-request-id'];
    return {
      status: answer.status,
      requestId: typeof requestId === 'string' ? requestId : (options.requestId ?? ''),
      text: body?.choices?.[0]?.message?.content ?? '',
      ...(body?.usage && { usage: body.usage }),
      ...(answer.status >= 400 && { error: body?.error ?? { message: answer.body.slice(0, 300) } }),
    };
  }

  async models(frontend: string): Promise<string[]> {
    const list = await this.#json<{ data: { id: string }[] }>(frontend, frontendPort, '/v1/models');
    return list.data.map((model) => model.id);
  }

  /** Empties one worker's prefix cache; resolves with the number of blocks dropped. */
  async clearPrefixCache(pod: string): Promise<void> {
    const answer = await this.cluster.pod(this.namespace, pod, systemPort, '/engine/clear_prefix_cache', { method: 'POST' });
    if (answer.status !== 200) throw new ClusterError(`clearing the prefix cache of ${pod}: HTTP ${answer.status} ${answer.body.slice(0, 200)}`, answer.status);
  }

  async #json<T>(pod: string, port: number, path: string): Promise<T> {
    const answer = await this.cluster.pod(this.namespace, pod, port, path);
    if (answer.status !== 200) throw new ClusterError(`GET ${path} of pod ${pod}: HTTP ${answer.status} ${answer.body.slice(0, 200)}`, answer.status);
    const parsed = parseJson(answer.body);
    if (parsed === undefined) throw new ClusterError(`GET ${path} of pod ${pod}: not JSON: ${answer.body.slice(0, 100)}`, answer.status);
    return parsed as T;
  }
}

/** The pod's `Ready` condition is True. */
export function isReady(pod: K8sObject): boolean {
  const conditions = (pod['status']?.conditions ?? []) as { type: string; status: string }[];
  return conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
