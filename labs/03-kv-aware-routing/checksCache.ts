import type { RoutingDecision } from '@dynamo-labs/backend/protocol';
import { isReady, sumOf, type CheckContext } from '@dynamo-labs/backend/validation';
import { blockTokens, brief, graph, longPrefixBlocks, requireDecisions } from './scene.ts';

export async function checkFirstRequest(ctx: CheckContext): Promise<void> {
  const decision = (await requireDecisions(ctx, 'first-', 1)).at(-1) as RoutingDecision;
  const seen = ctx.evidence(`decision ${decision.request_id}`, decision);
  const overlaps = decision.candidates.map((candidate) => candidate.overlap_blocks);
  ctx.require({
    id: 'nothing-cached',
    title: 'No worker held any block of this prompt, and the router knew it',
    ok: decision.mode === 'kv' && overlaps.every((overlap) => overlap === 0),
    expected: '0 overlapping blocks on every candidate',
    observed: `${overlaps.join(' and ')} blocks (router mode ${decision.mode})`,
    evidence: [seen],
    hint: 'Something warmed this prompt before. Empty both caches (clearPrefixCache in the notebook), or ask something that nobody asked yet, with a new system prompt.',
  });
  const outcome = decision.outcome!;
  ctx.assert({
    id: 'all-computed',
    title: 'The worker computed every prompt token',
    ok: outcome.computed_tokens === outcome.prompt_tokens && outcome.cached_tokens === 0,
    expected: `${outcome.prompt_tokens} of ${outcome.prompt_tokens} tokens computed`,
    observed: `${outcome.computed_tokens} computed, ${outcome.cached_tokens} from cache`,
    evidence: [seen],
  });
}

export async function checkSharedPrefix(ctx: CheckContext): Promise<void> {
  const decisions = await requireDecisions(ctx, 'warm-', 3);
  const [first, ...later] = decisions as [RoutingDecision, ...RoutingDecision[]];
  const seen = ctx.evidence('decisions warm-*', decisions.map(brief));
  requireOverlap(ctx, 'prefix-long-enough', later, seen);
  ctx.require({
    id: 'same-worker',
    title: 'The router sent the later requests to the worker that had computed the first',
    ok: later.every((decision) => decision.chosen.worker_id === first.chosen.worker_id),
    expected: first.chosen.pod ?? first.chosen.worker_id,
    observed: [...new Set(later.map((decision) => decision.chosen.pod ?? decision.chosen.worker_id))].join(' and '),
    evidence: [seen],
    hint: 'Send them one after another: a worker that is busy may cost more than a cold one.',
  });
  ctx.assert({
    id: 'cache-used',
    title: 'What the router expected to be cached really was: the worker took those tokens from its cache and computed only the rest',
    ok: later.every(
      ({ chosen, outcome }) =>
        outcome!.cached_tokens >= chosen.overlap_blocks * blockTokens && outcome!.computed_tokens === outcome!.prompt_tokens - outcome!.cached_tokens,
    ),
    expected: `cached ≥ ${later.map((decision) => decision.chosen.overlap_blocks * blockTokens).join(', ')} tokens`,
    observed: `cached ${later.map((decision) => decision.outcome!.cached_tokens).join(', ')}; computed ${later.map((decision) => decision.outcome!.computed_tokens).join(', ')} (first request: ${first.outcome!.computed_tokens})`,
    evidence: [seen],
  });
  await assertWorkerAgrees(ctx, first, later);
}

/** The worker's own counters must tell the same story as the router's record. */
async function assertWorkerAgrees(ctx: CheckContext, first: RoutingDecision, later: RoutingDecision[]): Promise<void> {
  const client = graph(ctx.cluster);
  const pods = (await client.pods('worker')).filter(isReady).map((pod) => pod.metadata?.name ?? '');
  const pod = first.chosen.pod !== undefined && pods.includes(first.chosen.pod) ? first.chosen.pod : undefined;
  const promised = later.reduce((sum, decision) => sum + decision.outcome!.cached_tokens, 0);
  if (pod === undefined) {
    ctx.assert({
      id: 'worker-still-there',
      title: 'The worker that answered still runs',
      ok: false,
      expected: first.chosen.pod ?? first.chosen.worker_id,
      observed: pods.join(', '),
      evidence: [ctx.evidence('worker pods', pods)],
      hint: 'Its pod was replaced, and its cache with it. Send the three requests again.',
    });
    return;
  }
  const [samples, state] = await Promise.all([client.workerMetrics(pod), client.workerState(pod)]);
  const hits = sumOf(samples, 'vllm:prefix_cache_hits_total');
  ctx.assert({
    id: 'engine-hits',
    title: "The engine's own prefix cache counter agrees",
    ok: hits !== undefined && hits >= promised,
    expected: `vllm:prefix_cache_hits_total ≥ ${promised}`,
    observed: hits === undefined ? 'no such metric' : String(hits),
    evidence: [
      ctx.evidence(
        `GET /metrics of pod ${pod}`,
        samples.filter((sample) => sample.name.startsWith('vllm:prefix_cache')),
      ),
    ],
  });
  ctx.assert({
    id: 'events-published',
    title: 'The worker published its cache events',
    ok: state.kv_events.connected === true && (state.kv_events.published ?? 0) > 0,
    expected: 'connected, more than 0 events',
    observed: `${state.kv_events.connected === true ? 'connected' : 'not connected'}, ${state.kv_events.published ?? 0} events over ${state.kv_events.kind ?? 'no plane'}`,
    evidence: [ctx.evidence(`GET /engine/state of pod ${pod}`, state)],
  });
}

function requireOverlap(ctx: CheckContext, id: string, decisions: RoutingDecision[], seen: string): void {
  const overlaps = decisions.map((decision) => Math.max(...decision.candidates.map((candidate) => candidate.overlap_blocks)));
  ctx.require({
    id,
    title: `The requests share a beginning of at least ${longPrefixBlocks} blocks (${longPrefixBlocks * blockTokens} tokens)`,
    ok: overlaps.every((overlap) => overlap >= longPrefixBlocks),
    expected: `≥ ${longPrefixBlocks} blocks already held by a worker, for each request after the first`,
    observed: `${overlaps.join(', ')} blocks`,
    evidence: [seen],
    hint: 'Only full blocks of 16 tokens count, and only from the very first token on. Put a long text first and the question last.',
  });
}

export async function checkSystemPrompt(ctx: CheckContext): Promise<void> {
  const decisions = await requireDecisions(ctx, 'physics-', 2);
  const [first, ...later] = decisions as [RoutingDecision, ...RoutingDecision[]];
  const seen = ctx.evidence('decisions physics-*', decisions.map(brief));
  requireOverlap(ctx, 'system-prompt-shared', later, seen);
  ctx.require({
    id: 'same-worker',
    title: 'Both conversations met on one worker',
    ok: later.every((decision) => decision.chosen.worker_id === first.chosen.worker_id),
    expected: first.chosen.pod ?? first.chosen.worker_id,
    observed: later.map((decision) => decision.chosen.pod ?? decision.chosen.worker_id).join(', '),
    evidence: [seen],
  });
  const last = later.at(-1) as RoutingDecision;
  const others = last.candidates.filter((candidate) => candidate.worker_id !== last.chosen.worker_id);
  ctx.assert({
    id: 'cheaper-there',
    title: 'It was chosen because it was cheaper, not by luck',
    ok: last.chosen.cost !== null && others.length > 0 && others.every((candidate) => candidate.cost !== null && candidate.cost > last.chosen.cost!),
    expected: `every other worker costs more than ${last.chosen.cost}`,
    observed: others.map((candidate) => `${candidate.pod ?? candidate.worker_id}: ${candidate.cost}`).join(', ') || 'no other candidate',
    evidence: [ctx.evidence(`decision ${last.request_id}: ${last.reason}`, last)],
  });
}
