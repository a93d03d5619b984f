import type { RoutingDecision } from '@dynamo-labs/backend/protocol';
import { isReady, sumOf, type Check, type CheckContext } from '@dynamo-labs/backend/validation';
import { checkNats, checkPublish } from './checksNats.ts';
import { checkCapacity, checkDeploy, checkExpose } from './checksDeploy.ts';
import { brief, graph, longPrefixBlocks, requireDecisions } from './scene.ts';

const blockTokens = 16;

async function checkFirstRequest(ctx: CheckContext): Promise<void> {
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

async function checkSharedPrefix(ctx: CheckContext): Promise<void> {
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

async function checkSystemPrompt(ctx: CheckContext): Promise<void> {
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

async function checkCost(ctx: CheckContext): Promise<void> {
  const answer = ctx.answers as { requestId?: unknown; cost?: unknown };
  const given = ctx.evidence('your answer', answer);
  ctx.require({
    id: 'answer-given',
    title: 'You handed in a request id and the cost of its chosen worker',
    ok: typeof answer.requestId === 'string' && typeof answer.cost === 'number',
    expected: "step.answer('requestId', 'physics-2') and step.answer('cost', <number>)",
    observed: JSON.stringify(answer),
    evidence: [given],
  });
  const decisions = await requireDecisions(ctx, String(answer.requestId), 1).then((found) =>
    found.filter((decision) => decision.request_id === answer.requestId),
  );
  const decision = decisions.at(-1);
  ctx.require({
    id: 'decision-recorded',
    title: 'The router has a record of exactly that request, and something of it was cached',
    ok: decision !== undefined && decision.chosen.overlap_blocks > 0,
    expected: `a decision ${String(answer.requestId)} with overlap > 0`,
    observed: decision === undefined ? 'none' : `${decision.chosen.overlap_blocks} overlapping blocks`,
    evidence: [given],
    hint: 'Take a request whose prompt was partly cached: the overlap is the interesting term.',
  });
  const { chosen, candidates } = decision!;
  const terms = candidates.find((candidate) => candidate.worker_id === chosen.worker_id)?.terms ?? {};
  ctx.assert({
    id: 'cost-equals',
    title: 'Your number is the one the router computed',
    ok: chosen.cost !== null && Math.abs((answer.cost as number) - chosen.cost) < 1e-6,
    expected: 'the cost in the decision record',
    observed: `you: ${String(answer.cost)}`,
    evidence: [
      ctx.evidence(`decision ${decision!.request_id}: terms`, {
        isl_tokens: decision!.isl_tokens,
        block_size: decision!.block_size,
        formula: decision!.formula,
        weights: decision!.weights,
        overlap_blocks: chosen.overlap_blocks,
        terms,
      }),
    ],
    hint: 'prefill_blocks = (active prefill tokens + prompt tokens − cached tokens) / block size; cost = weight × prefill_blocks + decode_blocks, where decode_blocks counts this request too.',
  });
}

async function checkLoad(ctx: CheckContext): Promise<void> {
  const calm = await requireDecisions(ctx, 'calm-', 4);
  const burst = await requireDecisions(ctx, 'load-', 16);
  const seen = ctx.evidence(
    'decisions load-*: active requests per worker at each choice',
    burst.map((decision) => ({
      request_id: decision.request_id,
      chosen: decision.chosen.pod ?? decision.chosen.worker_id,
      active_requests: decision.candidates.map((candidate) => candidate.active_requests),
    })),
  );
  const most = Math.max(...burst.map((decision) => decision.candidates.reduce((sum, candidate) => sum + candidate.active_requests, 0)));
  ctx.require({
    id: 'burst-overlapped',
    title: 'The load requests really ran at the same time',
    ok: most >= 3,
    expected: 'at least 3 requests in flight at one of the choices',
    observed: `at most ${most} in flight`,
    evidence: [seen],
    hint: 'Start all sixteen before you wait for any: await Promise.all(…).',
  });
  const histogram = (decisions: RoutingDecision[]): Record<string, number> =>
    Object.fromEntries([...Map.groupBy(decisions, (decision) => decision.chosen.pod ?? decision.chosen.worker_id)].map(([pod, group]) => [pod, group.length]));
  ctx.assert({
    id: 'burst-used-both',
    title: 'Under load both workers were used',
    ok: Object.keys(histogram(burst)).length >= 2,
    expected: '2 workers',
    observed: JSON.stringify(histogram(burst)),
    evidence: [seen],
  });
  const calmLater = calm.slice(1);
  ctx.assert({
    id: 'calm-one-worker',
    title: 'Without load, requests with the same beginning stayed on one worker',
    ok: calmLater.every((decision) => decision.chosen.worker_id === calm[0]?.chosen.worker_id),
    expected: '1 worker',
    observed: JSON.stringify(histogram(calm)),
    evidence: [ctx.evidence('decisions calm-*', calm.map(brief))],
    hint: 'The calm requests must share a long beginning and be sent one after another.',
  });
}

async function checkWorkloads(ctx: CheckContext): Promise<void> {
  const rates: Record<string, number> = {};
  const ids: string[] = [];
  for (const kind of ['shared', 'mixed', 'unique']) {
    const decisions = await requireDecisions(ctx, `${kind}-`, 8);
    const prompt = decisions.reduce((sum, decision) => sum + decision.outcome!.prompt_tokens, 0);
    const cached = decisions.reduce((sum, decision) => sum + decision.outcome!.cached_tokens, 0);
    rates[kind] = cached / prompt;
    ids.push(ctx.evidence(`workload ${kind}`, { requests: decisions.length, prompt_tokens: prompt, cached_tokens: cached, hit_rate: rates[kind] }));
  }
  const percent = (kind: string): string => `${((rates[kind] ?? 0) * 100).toFixed(1)} %`;
  const margin = 0.1;
  for (const [better, worse] of [
    ['shared', 'mixed'],
    ['mixed', 'unique'],
  ] as const) {
    ctx.assert({
      id: `${better}-beats-${worse}`,
      title: `The ${better} workload reuses clearly more of its prompts than the ${worse} one`,
      ok: rates[better]! >= rates[worse]! + margin,
      expected: `hit rate of ${better} at least 10 points above ${worse}`,
      observed: `${percent(better)} and ${percent(worse)}`,
      evidence: ids,
      hint: 'shared: one long beginning for all eight; mixed: for every second one; unique: a new text at the very start of each.',
    });
  }
}

async function checkNoTransfer(ctx: CheckContext): Promise<void> {
  const home = await requireDecisions(ctx, 'home-', 2);
  const away = (await requireDecisions(ctx, 'away-', 1)).at(-1) as RoutingDecision;
  const seen = ctx.evidence('decisions home-*, away-*', [...home, away].map(brief));
  const last = home.at(-1) as RoutingDecision;
  ctx.require({
    id: 'home-cached',
    title: 'On its own worker the prompt was cached',
    ok: last.outcome!.cached_tokens >= longPrefixBlocks * blockTokens,
    expected: `≥ ${longPrefixBlocks * blockTokens} tokens from cache`,
    observed: `${last.outcome!.cached_tokens} tokens`,
    evidence: [seen],
    hint: 'Send the same long prompt twice as home-1 and home-2.',
  });
  ctx.require({
    id: 'away-elsewhere',
    title: 'The same prompt then went to the other worker',
    ok: away.chosen.worker_id !== last.chosen.worker_id,
    expected: 'another worker',
    observed: away.chosen.pod ?? away.chosen.worker_id,
    evidence: [seen],
    hint: 'Pin it: header x-worker-instance-id with the id of the other worker.',
  });
  ctx.require({
    id: 'same-prompt',
    title: 'It was the same prompt, block by block',
    ok: away.prefix_hash !== undefined && away.prefix_hash === last.prefix_hash && away.isl_tokens === last.isl_tokens,
    expected: `${last.isl_tokens} tokens, hash of the last full block ${last.prefix_hash}`,
    observed: `${away.isl_tokens} tokens, hash ${away.prefix_hash}`,
    evidence: [seen],
    hint: 'A block hash commits to everything before it: one different token, and it is another prompt.',
  });
  ctx.assert({
    id: 'away-recomputed',
    title: 'Nothing was copied between the workers: it was computed all over again',
    ok: away.outcome!.cached_tokens === 0 && away.outcome!.computed_tokens === away.outcome!.prompt_tokens,
    expected: `${away.outcome!.prompt_tokens} tokens computed, 0 from cache`,
    observed: `${away.outcome!.computed_tokens} computed, ${away.outcome!.cached_tokens} from cache`,
    evidence: [seen],
  });
}

export const checks: Record<string, Check> = {
  nats: checkNats,
  publish: checkPublish,
  deploy: checkDeploy,
  capacity: checkCapacity,
  expose: checkExpose,
  'first-request': checkFirstRequest,
  'shared-prefix': checkSharedPrefix,
  'system-prompt': checkSystemPrompt,
  cost: checkCost,
  load: checkLoad,
  workloads: checkWorkloads,
  'no-transfer': checkNoTransfer,
};
