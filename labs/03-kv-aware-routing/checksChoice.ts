import type { RoutingDecision } from '@dynamo-labs/backend/protocol';
import type { CheckContext } from '@dynamo-labs/backend/validation';
import { blockTokens, brief, longPrefixBlocks, requireDecisions } from './scene.ts';

export async function checkCost(ctx: CheckContext): Promise<void> {
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

export async function checkLoad(ctx: CheckContext): Promise<void> {
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

export async function checkWorkloads(ctx: CheckContext): Promise<void> {
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

export async function checkNoTransfer(ctx: CheckContext): Promise<void> {
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
