import type { RoutingDecision } from '@dynamo-labs/backend/protocol';
import { GraphClient, type ActContext, type ChatAnswer, type CheckContext, type ClusterView } from '@dynamo-labs/backend/validation';

/** The names this lab uses, in one place. */
export const natsNamespace = 'nats-system';
export const namespace = 'dynamo';
export const graphName = 'vllm-kv-demo';
export const serviceName = 'vllm-kv-frontend-np';
export const nodePort = 30200;
export const model = 'Qwen/Qwen2.5-1.5B-Instruct';
export const labLabel = { 'dynamo-labs.dev/lab': '03-kv-aware-routing' };
/** Tokens of one KV block in this lab. */
export const blockTokens = 16;
/** Blocks that a shared beginning must fill to count: 4 × 16 tokens. */
export const longPrefixBlocks = 4;

export function graph(cluster: ClusterView): GraphClient {
  return new GraphClient(cluster, namespace, graphName);
}

/** The Ready frontend pod, or a failed assertion that says so. */
export async function requireFrontend(ctx: CheckContext): Promise<string> {
  const pods = await graph(ctx.cluster).pods('frontend');
  const frontend = await graph(ctx.cluster).readyFrontend();
  const seen = ctx.evidence(
    `pods of ${graphName}, component type frontend`,
    pods.map((pod) => ({ name: pod.metadata?.name, phase: pod['status']?.phase })),
  );
  ctx.require({
    id: 'frontend-ready',
    title: 'The frontend of vllm-kv-demo is Ready',
    ok: frontend !== undefined,
    expected: 'one Ready frontend pod',
    observed: frontend ?? (pods.length === 0 ? 'no frontend pod' : 'frontend pod not Ready'),
    evidence: [seen],
    hint: 'Finish the step "deploy" first: kubectl get pods -n dynamo',
  });
  return frontend as string;
}

/** Finished decisions of this attempt whose request id starts with `prefix`; a failed assertion when there are fewer than `atLeast`. */
export async function requireDecisions(ctx: CheckContext, prefix: string, atLeast: number): Promise<RoutingDecision[]> {
  const frontend = await requireFrontend(ctx);
  const all = await graph(ctx.cluster).decisions(frontend, { since: ctx.since, requestIdPrefix: prefix });
  const finished = all.filter((decision) => decision.outcome?.status === 'ok');
  ctx.require({
    id: `${prefix}requests`,
    title: `${atLeast === 1 ? 'A request' : `${atLeast} requests`} with an id that starts with "${prefix}" reached the router and finished`,
    ok: finished.length >= atLeast,
    expected: `at least ${atLeast}`,
    observed: `${finished.length} finished${all.length > finished.length ? `, ${all.length - finished.length} not (yet)` : ''}`,
    evidence: [ctx.evidence(`GET /router/decisions of pod ${frontend}, ids ${prefix}*`, all.map(brief))],
    hint: `Send it with the header x-request-id: ${prefix}1 (in a notebook: chat(…, { requestId: '${prefix}1' })).`,
  });
  return finished;
}

/** The part of a decision that a learner reads in evidence. */
export function brief(decision: RoutingDecision): Record<string, unknown> {
  return {
    request_id: decision.request_id,
    worker: decision.chosen.pod ?? decision.chosen.worker_id,
    request_blocks: decision.request_blocks,
    prefix_hash: decision.prefix_hash,
    overlap_blocks: Object.fromEntries(decision.candidates.map((candidate) => [candidate.pod ?? candidate.worker_id, candidate.overlap_blocks])),
    cost: Object.fromEntries(decision.candidates.map((candidate) => [candidate.pod ?? candidate.worker_id, candidate.cost])),
    round_robin_choice: decision.round_robin_choice,
    ...(decision.outcome && {
      computed_tokens: decision.outcome.computed_tokens,
      cached_tokens: decision.outcome.cached_tokens,
      ttft_ms: decision.outcome.ttft_ms,
    }),
  };
}

/** One chat as the learner would send it; an HTTP error is an error here. */
export async function chat(
  ctx: ActContext,
  requestId: string,
  messages: { system?: string; user: string },
  options: { workerId?: string; maxTokens?: number } = {},
): Promise<ChatAnswer> {
  const client = graph(ctx.cluster);
  const frontend = await client.readyFrontend();
  if (frontend === undefined) throw new Error('no Ready frontend pod');
  const answer = await client.chat(
    frontend,
    {
      model,
      messages: [
        ...(messages.system === undefined ? [] : [{ role: 'system' as const, content: messages.system }]),
        { role: 'user' as const, content: messages.user },
      ],
      max_tokens: options.maxTokens ?? 4,
    },
    { requestId, signal: ctx.signal, ...(options.workerId !== undefined && { workerId: options.workerId }) },
  );
  if (answer.status !== 200) throw new Error(`chat ${requestId}: HTTP ${answer.status} ${answer.error?.message ?? ''}`);
  return answer;
}

export async function clearCaches(ctx: ActContext): Promise<void> {
  const client = graph(ctx.cluster);
  for (const pod of await client.pods('worker')) await client.clearPrefixCache(pod.metadata?.name ?? '');
}

/** A text of its own in every call: no earlier request can have warmed it. */
export function uniqueText(): string {
  return `Case ${crypto.randomUUID()}.`;
}

/** About 150 tokens that several requests can share. */
export const briefing =
  'You are the assistant of a workshop about serving large language models. In the prefill phase the engine reads the whole prompt and stores the keys and values of every token. In the decode phase it produces one token after another and reads all that it has stored. The stored keys and values are the KV cache. It is kept in blocks of sixteen tokens. Blocks with the same beginning can be shared between requests, so a second request with the same beginning does not have to be computed again. A router that knows which worker holds which blocks can send a request to the place where most of its work is already done. Answer in one short sentence.';
