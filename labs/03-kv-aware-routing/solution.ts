import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { RoutingDecision } from '@dynamo-labs/backend/protocol';
import { isReady, type Act, type ActContext, type ClusterView } from '@dynamo-labs/backend/validation';
import { briefing, chat, clearCaches, graph, graphName, labLabel, namespace, natsNamespace, serviceName, uniqueText } from './scene.ts';

const dgd = ['nvidia.com/v1alpha1', 'DynamoGraphDeployment'] as const;

export async function manifest(ctx: ActContext, name: string): Promise<string> {
  return readFile(path.join(ctx.labDir, 'manifests', name), 'utf8');
}

export async function applyNats(ctx: ActContext, edit: (yaml: string) => string = (yaml) => yaml): Promise<void> {
  await ctx.cluster.apply(edit(await manifest(ctx, 'nats.yaml')));
  await ctx.cluster.until(
    'nats-0 is Ready',
    async () => {
      const pod = await ctx.cluster.get('v1', 'Pod', 'nats-0', natsNamespace);
      return pod !== undefined && isReady(pod);
    },
    ctx.signal,
  );
}

async function deleteNats(ctx: ActContext): Promise<void> {
  await ctx.cluster.delete('v1', 'Namespace', natsNamespace, undefined, ctx.signal);
}

/** Runs a nats-box pod to its end. */
export async function natsBox(ctx: ActContext, args: string[]): Promise<void> {
  const name = 'nats-test';
  await ctx.cluster.delete('v1', 'Pod', name, natsNamespace, ctx.signal);
  await ctx.cluster.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: natsNamespace, labels: labLabel },
      spec: { restartPolicy: 'Never', containers: [{ name, image: 'natsio/nats-box:0.18.0', args }] },
    },
  ]);
  await ctx.cluster.until(
    `pod ${name} has ended`,
    async () => ['Succeeded', 'Failed'].includes((await ctx.cluster.get('v1', 'Pod', name, natsNamespace))?.['status']?.phase as string),
    ctx.signal,
  );
}

/** Applies the graph and waits until `settled` holds (default: its Ready condition). */
export async function applyGraph(ctx: ActContext, edit: (yaml: string) => string = (yaml) => yaml): Promise<void> {
  await ctx.cluster.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hf-token-secret', namespace, labels: labLabel }, stringData: { HF_TOKEN: 'not-needed-here' } },
  ]);
  await ctx.cluster.apply(edit(await manifest(ctx, 'vllm-kv-demo.yaml')));
  const client = graph(ctx.cluster);
  await ctx.cluster.until(
    `graph ${graphName} is Ready and its router knows both workers`,
    async () => {
      const conditions = ((await client.deployment())?.['status']?.conditions ?? []) as { type: string; status: string }[];
      if (!conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True')) return false;
      const frontend = await client.readyFrontend();
      if (frontend === undefined) return false;
      return (await client.routerState(frontend)).workers.length === 2;
    },
    ctx.signal,
  );
}

export async function deleteGraph(ctx: ActContext): Promise<void> {
  await ctx.cluster.delete(...dgd, graphName, namespace, ctx.signal);
  await ctx.cluster.until(
    'its pods are gone',
    async () => (await ctx.cluster.list('v1', 'Pod', { namespace, labelSelector: `nvidia.com/dynamo-graph-deployment-name=${graphName}` })).length === 0,
    ctx.signal,
  );
}

async function freeGpus(ctx: ActContext): Promise<number> {
  const nodes = await ctx.cluster.list('v1', 'Node');
  const pods = (await ctx.cluster.list('v1', 'Pod')).filter(
    (pod) => pod['spec']?.nodeName !== undefined && !['Succeeded', 'Failed'].includes(pod['status']?.phase as string),
  );
  const containers = pods.flatMap((pod) => (pod['spec']?.containers ?? []) as { resources?: { requests?: Record<string, string> } }[]);
  const total = (values: (string | undefined)[]): number => values.reduce((sum, value) => sum + Number(value ?? 0), 0);
  return (
    total(nodes.map((node) => node['status']?.allocatable?.['nvidia.com/gpu'] as string | undefined)) -
    total(containers.map((container) => container.resources?.requests?.['nvidia.com/gpu']))
  );
}

export async function recordedDecision(ctx: ActContext, requestId: string): Promise<RoutingDecision> {
  const client = graph(ctx.cluster);
  const frontend = (await client.readyFrontend()) ?? '';
  const decision = (await client.decisions(frontend, { requestIdPrefix: requestId })).findLast((entry) => entry.request_id === requestId);
  if (decision === undefined) throw new Error(`no decision ${requestId}`);
  return decision;
}

/** The cost of the chosen worker by Dynamo's 0.8 formula, from the numbers in the record: what a learner computes by hand. */
export function costByHand(decision: RoutingDecision): number {
  const chosen = decision.candidates.find((candidate) => candidate.worker_id === decision.chosen.worker_id)!;
  const cached = chosen.overlap_blocks * decision.block_size;
  const prefillBlocks = (chosen.active_prefill_tokens + decision.isl_tokens - cached) / decision.block_size;
  const decodeBlocks = chosen.terms['decode_cost_blocks'] ?? Number.NaN;
  return decision.weights.overlap_score_weight * prefillBlocks + decodeBlocks;
}

/** Two conversations with one long system prompt. */
export async function sendPhysics(ctx: ActContext): Promise<void> {
  const system = `${uniqueText()} You explain physics. ${briefing}`;
  await chat(ctx, 'physics-1', { system, user: 'What is quantum mechanics?' });
  await chat(ctx, 'physics-2', { system, user: 'What is relativity?' });
}

const forget: Act = async () => {
  // The step only looks at requests; earlier ones stop counting because the attempt starts anew.
};

export const solution: Record<string, Act> = {
  nats: (ctx) => applyNats(ctx),
  publish: (ctx) => natsBox(ctx, ['nats', 'pub', 'lab.hello', 'hello from a pod', '-s', 'nats://nats.nats-system:4222']),
  deploy: (ctx) => applyGraph(ctx),
  capacity: async (ctx) => ctx.answer('free', await freeGpus(ctx)),
  expose: async (ctx) => void (await ctx.cluster.apply(await manifest(ctx, 'frontend-nodeport.yaml'))),
  'first-request': async (ctx) => {
    await clearCaches(ctx);
    await chat(ctx, 'first-1', { user: 'What is AI?' }, { maxTokens: 32 });
  },
  'shared-prefix': async (ctx) => {
    const system = `${uniqueText()} ${briefing}`;
    for (const [index, user] of ['What is prefill?', 'What is decode?', 'What is a KV cache?', 'What does the router know?'].entries())
      await chat(ctx, `warm-${index + 1}`, { system, user });
  },
  'system-prompt': sendPhysics,
  cost: async (ctx) => {
    await sendPhysics(ctx);
    await ctx.answer('requestId', 'physics-2');
    await ctx.answer('cost', costByHand(await recordedDecision(ctx, 'physics-2')));
  },
  load: async (ctx) => {
    const system = `${uniqueText()} ${briefing}`;
    for (let index = 1; index <= 4; index += 1) await chat(ctx, `calm-${index}`, { system, user: `Question ${index}?` });
    await Promise.all(
      Array.from({ length: 16 }, (_, index) =>
        chat(ctx, `load-${index + 1}`, { system: `${uniqueText()} ${briefing}`, user: 'Summarise.' }, { maxTokens: 16 }),
      ),
    );
  },
  workloads: async (ctx) => {
    const shared = `${uniqueText()} ${briefing}`;
    const mixed = `${uniqueText()} ${briefing}`;
    for (let index = 1; index <= 8; index += 1) {
      await chat(ctx, `shared-${index}`, { system: shared, user: `Question ${index}?` });
      await chat(ctx, `mixed-${index}`, { system: index % 2 === 1 ? mixed : `${uniqueText()} ${briefing}`, user: `Question ${index}?` });
      await chat(ctx, `unique-${index}`, { system: `${uniqueText()} ${briefing}`, user: `Question ${index}?` });
    }
  },
  'no-transfer': async (ctx) => {
    const system = `${uniqueText()} ${briefing}`;
    await chat(ctx, 'home-1', { system, user: 'Where am I?' });
    await chat(ctx, 'home-2', { system, user: 'Where am I?' });
    const home = await recordedDecision(ctx, 'home-2');
    const other = home.candidates.find((candidate) => candidate.worker_id !== home.chosen.worker_id);
    if (other === undefined) throw new Error('the router knows only one worker');
    await clearPrefixOf(ctx, other.pod);
    await chat(ctx, 'away-1', { system, user: 'Where am I?' }, { workerId: other.worker_id });
  },
};

/** The chat template's own first block may be warm everywhere; an emptied cache makes the recomputation complete. */
async function clearPrefixOf(ctx: ActContext, pod: string | undefined): Promise<void> {
  if (pod !== undefined) await graph(ctx.cluster).clearPrefixCache(pod);
}

export const reset: Record<string, Act> = {
  nats: deleteNats,
  publish: (ctx) => ctx.cluster.delete('v1', 'Pod', 'nats-test', natsNamespace, ctx.signal),
  deploy: async (ctx) => {
    await deleteGraph(ctx);
    await ctx.cluster.delete('v1', 'Secret', 'hf-token-secret', namespace, ctx.signal);
  },
  capacity: forget,
  expose: (ctx) => ctx.cluster.delete('v1', 'Service', serviceName, namespace, ctx.signal),
  'first-request': forget,
  'shared-prefix': forget,
  'system-prompt': forget,
  cost: forget,
  load: forget,
  workloads: forget,
  'no-transfer': forget,
};

/** Everything of this lab that still exists. Namespace `dynamo` is shared with other labs and stays. */
export async function leftovers(cluster: ClusterView): Promise<string[]> {
  const found: string[] = [];
  const names = async (apiVersion: string, kind: string, options: { namespace?: string; labelSelector?: string }): Promise<void> => {
    for (const object of await cluster.list(apiVersion, kind, options)) found.push(`${kind} ${object.metadata?.namespace}/${object.metadata?.name}`);
  };
  const ofGraph = { namespace, labelSelector: `nvidia.com/dynamo-graph-deployment-name=${graphName}` };
  for (const kind of ['Pod', 'Service'] as const) await names('v1', kind, ofGraph);
  await names('apps/v1', 'Deployment', ofGraph);
  const labelSelector = Object.entries(labLabel)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  for (const kind of ['Pod', 'Service', 'Secret'] as const) await names('v1', kind, { labelSelector });
  if ((await cluster.get(...dgd, graphName, namespace)) !== undefined) found.push(`DynamoGraphDeployment ${graphName}`);
  if ((await cluster.get('v1', 'Namespace', natsNamespace)) !== undefined) found.push(`Namespace ${natsNamespace}`);
  return found;
}
