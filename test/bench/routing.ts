import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startLocalStack, stateLayout } from '../../backend/src/controlplane/index.ts';
import { ClusterView, GraphClient } from '../../backend/src/validation/index.ts';
import type { Figure } from './figure.ts';
import { labSolution } from './labSolution.ts';
import { median, minMax } from './spread.ts';

const repetitions = 5;
const groups = 6;
const perGroup = 5;
const sentence = 'The depot keeps a record of every parcel, where it came from, who carried it, and when it was handed over to the next station on its way. ';

/**
 * Each group has a beginning of about 600 tokens of its own. The order is shuffled (the same for both modes): in a regular
 * order of an even number of groups, round-robin over two workers would meet its caches by parity.
 */
function workload(repetition: number): { system: string; user: string }[] {
  const requests = Array.from({ length: groups * perGroup }, (_, index) => ({ group: index % groups, turn: Math.floor(index / groups) }));
  return shuffled(requests, repetition + 1).map(({ group, turn }) => ({
    system: `Repetition ${repetition}, group ${group}. ${sentence.repeat(18)}`,
    user: `Question ${turn}: where is parcel ${turn * 7 + group}?`,
  }));
}

/** Fisher-Yates with a linear congruential generator: the same order for the same seed on every machine. */
function shuffled<T>(items: T[], seed: number): T[] {
  const result = [...items];
  let state = seed;
  for (let last = result.length - 1; last > 0; last -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (last + 1));
    [result[last], result[other]] = [result[other] as T, result[last] as T];
  }
  return result;
}

interface Measured {
  computed: number[];
  ttft: number[];
  meanTtft: number[];
  hitRate: number[];
}

/** KV-aware against round-robin routing, the same requests through the real stack: HTTP, router, two workers, real weights. */
export async function run(options: { signal: AbortSignal; log: (line: string) => void }): Promise<Figure[]> {
  const home = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-bench-'));
  const layout = stateLayout({ DYNAMO_LABS_HOME: home, DYNAMO_LABS_CACHE: stateLayout().cache });
  const stack = await startLocalStack({
    layout,
    parts: ['controlplane', 'nodeagent', 'operator'],
    nodePortAddress: '127.91.0.1',
    throwAway: true,
    signal: options.signal,
  });
  try {
    const cluster = ClusterView.fromKubeconfig(stack.kubeconfig);
    const lab = await labSolution(cluster, options.signal);
    await lab.solve('nats');
    const { applyGraph } = await import('../../labs/03-kv-aware-routing/solution.ts');
    const measured: Record<string, Measured> = {};
    for (const mode of ['kv', 'round-robin']) {
      await lab.act((ctx) => applyGraph(ctx, (yaml) => yaml.replace('--router-mode kv --kv-overlap-score-weight 1.0', `--router-mode ${mode}`)));
      measured[mode] = await measure(new GraphClient(cluster, 'dynamo', 'vllm-kv-demo'), mode, options);
      await lab.reset('deploy');
    }
    return figures(measured['kv'] as Measured, measured['round-robin'] as Measured);
  } finally {
    await stack.stop();
    await rm(home, { recursive: true, force: true });
  }
}

async function measure(client: GraphClient, mode: string, options: { signal: AbortSignal; log: (line: string) => void }): Promise<Measured> {
  const result: Measured = { computed: [], ttft: [], meanTtft: [], hitRate: [] };
  const frontend = (await client.readyFrontend()) ?? '';
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    for (const [index, { system, user }] of workload(repetition).entries()) {
      const messages = [
        { role: 'system' as const, content: system },
        { role: 'user' as const, content: user },
      ];
      const answer = await client.chat(
        frontend,
        { model: 'Qwen/Qwen2.5-1.5B-Instruct', messages, max_tokens: 4 },
        { requestId: `${mode}-${repetition}-${index}`, signal: options.signal },
      );
      if (answer.status !== 200) throw new Error(`${mode}: HTTP ${answer.status} ${answer.error?.message ?? ''}`);
    }
    const outcomes = (await client.decisions(frontend, { requestIdPrefix: `${mode}-${repetition}-` })).map((decision) => decision.outcome!);
    const total = (pick: (outcome: (typeof outcomes)[number]) => number): number => outcomes.reduce((sum, outcome) => sum + pick(outcome), 0);
    result.computed.push(total((outcome) => outcome.computed_tokens));
    result.hitRate.push(total((outcome) => outcome.cached_tokens) / total((outcome) => outcome.prompt_tokens));
    result.meanTtft.push(total((outcome) => outcome.ttft_ms) / outcomes.length);
    result.ttft.push(median(outcomes.map((outcome) => outcome.ttft_ms)));
    options.log(
      `${mode} ${repetition + 1}/${repetitions}: ${result.computed.at(-1)} prompt tokens computed, hit rate ${result.hitRate.at(-1)?.toFixed(3)}, TTFT mean ${result.meanTtft.at(-1)?.toFixed(0)} ms, median ${result.ttft.at(-1)?.toFixed(0)} ms`,
    );
  }
  return result;
}

function figures(kv: Measured, roundRobin: Measured): Figure[] {
  const against = (name: string, unit: string, pick: keyof Measured): Figure => ({
    name: `${name}, KV-aware`,
    value: median(kv[pick]),
    unit,
    spread: minMax(kv[pick]),
    peer: `round-robin (${median(roundRobin[pick]).toPrecision(3)} ${unit})`,
    ratio: median(kv[pick]) / median(roundRobin[pick]),
  });
  return [
    against('prompt tokens computed', 'tokens', 'computed'),
    against('cache hit rate', 'of prompt', 'hitRate'),
    against('mean time to first token', 'ms', 'meanTtft'),
    against('median time to first token', 'ms', 'ttft'),
  ];
}
