import type { WrongAnswer } from '@dynamo-labs/backend/validation';
import { briefing, chat, uniqueText } from './scene.ts';
import { applyGraph, applyNats, costByHand, manifest, natsBox, recordedDecision, sendPhysics } from './solution.ts';

export const wrong: WrongAnswer[] = [
  {
    step: 'nats',
    name: 'keys-in-the-wrong-place',
    because: 'Helm values of an older chart are ignored without a word: the server starts, and JetStream is off.',
    apply: (ctx) => applyNats(ctx, (yaml) => yaml.replace(/ {4}jetstream \{[^}]*\}\n/, '')),
    expect: { assertion: 'jetstream-enabled' },
  },
  {
    step: 'nats',
    name: 'too-little-storage',
    because: 'A unit is easily mistyped: 1MiB instead of 1GiB.',
    apply: (ctx) => applyNats(ctx, (yaml) => yaml.replace('max_file_store: 1GiB', 'max_file_store: 1MiB')),
    expect: { assertion: 'jetstream-storage' },
  },
  {
    step: 'publish',
    name: 'connected-but-silent',
    because: 'A subscriber connects too, and looks like proof.',
    apply: (ctx) => natsBox(ctx, ['timeout', '2', 'nats', 'sub', 'lab.hello', '-s', 'nats://nats.nats-system:4222']),
    expect: { assertion: 'message-received' },
  },
  {
    step: 'publish',
    name: 'wrong-address',
    because: 'The Service name without its namespace only resolves inside that namespace.',
    apply: (ctx) => natsBox(ctx, ['nats', 'pub', 'lab.hello', 'hi', '-s', 'nats://nats.default:4222']),
    expect: { assertion: 'publisher-connected' },
  },
  {
    step: 'deploy',
    name: 'no-router-mode',
    because: 'Without the flag the frontend routes round-robin, and everything else looks the same.',
    apply: (ctx) => applyGraph(ctx, (yaml) => yaml.replace(' --router-mode kv --kv-overlap-score-weight 1.0', '')),
    expect: { assertion: 'router-mode-kv' },
  },
  {
    step: 'deploy',
    name: 'no-prefix-caching',
    because: 'Taken over from another example: without prefix caching there is nothing to publish.',
    apply: (ctx) => applyGraph(ctx, (yaml) => yaml.replace('--enable-prefix-caching', '--no-enable-prefix-caching')),
    expect: { assertion: 'events-on' },
  },
  {
    step: 'deploy',
    name: 'nats-in-another-namespace',
    because: 'Serving goes on without NATS, only the router goes blind.',
    apply: (ctx) => applyGraph(ctx, (yaml) => yaml.replaceAll('nats.nats-system', 'nats.dynamo')),
    expect: { assertion: 'events-connected' },
  },
  {
    step: 'capacity',
    name: 'allocatable-is-not-free',
    because: 'ALLOCATABLE in `kubectl get nodes` looks like what is left.',
    apply: async (ctx) => {
      const nodes = await ctx.cluster.list('v1', 'Node');
      await ctx.answer(
        'free',
        nodes.reduce((sum, node) => sum + Number(node['status']?.allocatable?.['nvidia.com/gpu'] ?? 0), 0),
      );
    },
    expect: { assertion: 'free-equals' },
  },
  {
    step: 'capacity',
    name: 'strings-added',
    because: 'Quantities are strings; adding strings joins them.',
    apply: (ctx) => ctx.answer('free', '11'),
    expect: { assertion: 'answer-given' },
  },
  {
    step: 'expose',
    name: 'lower-case-component',
    because: 'Label values keep the case of the service key: Frontend, not frontend.',
    apply: async (ctx) =>
      void (await ctx.cluster.apply((await manifest(ctx, 'frontend-nodeport.yaml')).replace('dynamo-component: Frontend', 'dynamo-component: frontend'))),
    expect: { assertion: 'service-selects-frontend' },
  },
  {
    step: 'expose',
    name: 'selects-the-whole-graph',
    because: 'Without the component label two of three requests land on a worker.',
    apply: async (ctx) =>
      void (await ctx.cluster.apply((await manifest(ctx, 'frontend-nodeport.yaml')).replace(/ *nvidia.com\/dynamo-component: Frontend\n/, ''))),
    expect: { assertion: 'service-selects-frontend' },
  },
  {
    step: 'first-request',
    name: 'asked-before',
    because: 'A first look with curl already warmed the cache.',
    apply: async (ctx) => {
      const system = `${uniqueText()} ${briefing}`;
      await chat(ctx, 'first-1', { system, user: 'What is AI?' });
      await chat(ctx, 'first-2', { system, user: 'What is AI?' });
    },
    expect: { assertion: 'nothing-cached' },
  },
  {
    step: 'shared-prefix',
    name: 'prefix-below-a-few-blocks',
    because: 'Three words look like a shared beginning, but do not fill one block.',
    apply: async (ctx) => {
      for (const [index, user] of ['Explain quantum computing', 'Explain quantum computing in simple terms', 'Explain quantum computing briefly'].entries())
        await chat(ctx, `warm-${index + 1}`, { user });
    },
    expect: { assertion: 'prefix-long-enough' },
  },
  {
    step: 'shared-prefix',
    name: 'difference-at-the-start',
    because: 'A date or a user name in front makes every block after it different.',
    apply: async (ctx) => {
      for (let index = 1; index <= 3; index += 1) await chat(ctx, `warm-${index}`, { system: `${uniqueText()} ${briefing}`, user: 'What is prefill?' });
    },
    expect: { assertion: 'prefix-long-enough' },
  },
  {
    step: 'system-prompt',
    name: 'question-first',
    because: 'With the question in front of the instructions, nothing after it can be shared.',
    apply: async (ctx) => {
      await chat(ctx, 'physics-1', { system: `What is quantum mechanics? ${uniqueText()} ${briefing}`, user: 'Answer.' });
      await chat(ctx, 'physics-2', { system: `What is relativity? ${uniqueText()} ${briefing}`, user: 'Answer.' });
    },
    expect: { assertion: 'system-prompt-shared' },
  },
  {
    step: 'cost',
    name: 'forgot-the-overlap',
    because: 'Without subtracting the cached tokens the cost is that of a cold worker.',
    apply: async (ctx) => {
      await sendPhysics(ctx);
      const decision = await recordedDecision(ctx, 'physics-2');
      await ctx.answer('requestId', 'physics-2');
      await ctx.answer('cost', costByHand(decision) + decision.chosen.overlap_blocks);
    },
    expect: { assertion: 'cost-equals' },
  },
  {
    step: 'load',
    name: 'one-after-another',
    because: 'A loop with await sends sixteen requests, but never two at a time.',
    apply: async (ctx) => {
      const system = `${uniqueText()} ${briefing}`;
      for (let index = 1; index <= 4; index += 1) await chat(ctx, `calm-${index}`, { system, user: `Question ${index}?` });
      for (let index = 1; index <= 16; index += 1) await chat(ctx, `load-${index}`, { system: `${uniqueText()} ${briefing}`, user: 'Summarise.' });
    },
    expect: { assertion: 'burst-overlapped' },
  },
  {
    step: 'workloads',
    name: 'all-the-same',
    because: 'One prompt for all three workloads measures the same thing three times.',
    apply: async (ctx) => {
      const system = `${uniqueText()} ${briefing}`;
      for (const kind of ['shared', 'mixed', 'unique'])
        for (let index = 1; index <= 8; index += 1) await chat(ctx, `${kind}-${index}`, { system, user: `Question ${index}?` });
    },
    expect: { assertion: 'shared-beats-mixed' },
  },
  {
    step: 'no-transfer',
    name: 'not-pinned',
    because: 'Left to itself the router sends the prompt home again.',
    apply: async (ctx) => {
      const system = `${uniqueText()} ${briefing}`;
      for (const id of ['home-1', 'home-2', 'away-1']) await chat(ctx, id, { system, user: 'Where am I?' });
    },
    expect: { assertion: 'away-elsewhere' },
  },
  {
    step: 'no-transfer',
    name: 'another-prompt',
    because: 'A different prompt is computed anywhere; that proves nothing about this one.',
    apply: async (ctx) => {
      const system = `${uniqueText()} ${briefing}`;
      await chat(ctx, 'home-1', { system, user: 'Where am I?' });
      await chat(ctx, 'home-2', { system, user: 'Where am I?' });
      const { chosen, candidates } = await recordedDecision(ctx, 'home-2');
      const other = candidates.find((candidate) => candidate.worker_id !== chosen.worker_id);
      await chat(ctx, 'away-1', { system: `${uniqueText()} ${briefing}`, user: 'Where am I?' }, { workerId: other?.worker_id ?? '' });
    },
    expect: { assertion: 'same-prompt' },
  },
];
