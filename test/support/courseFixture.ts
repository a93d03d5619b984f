import type { RoutingDecision } from '../../backend/src/protocol/decision.ts';
import type { CheckReport, LabSummary, PodView, StepSummary, TopologySnapshot } from '../../backend/src/protocol/lab.ts';

const time = '2026-01-15T10:00:00.000Z';
const frontend = 'vllm-kv-demo-frontend-6c9f7d8b5-x2k4p';
const workers = ['vllm-kv-demo-vllmdecodeworker-7d4b9c6f8-8qz5m', 'vllm-kv-demo-vllmdecodeworker-7d4b9c6f8-tn6wd'] as const;

function step(id: string, title: string, durationMinutes: number, goal: string): StepSummary {
  return { id, title, durationMinutes, goal, state: 'todo', attempts: 0, hintsShown: 0, hintsTotal: 3, solutionShown: false };
}

/** Two labs as the backend lists them; the second cannot run here. */
export function courseFixture(): LabSummary[] {
  return [
    {
      id: '03-kv-aware-routing',
      title: 'KV-aware routing',
      summary: 'Deploy two workers behind a router that knows which KV blocks each one holds, and prove that it uses them.',
      durationMinutes: 60,
      notebook: '03-kv-aware-routing/lab.ipynb',
      steps: [
        step('nats', 'Install NATS with JetStream', 8, 'A NATS server with **JetStream** answers in the namespace `nats-system`.'),
        step('deploy', 'Deploy the graph', 10, 'The graph `vllm-kv-demo` runs one frontend in router mode `kv` and two workers that publish KV events.'),
        step('first-request', 'Send the first request', 6, 'One request is answered and its routing decision shows **no** cached block on either worker.'),
        step('shared-prefix', 'Reuse a shared prefix', 12, 'Three requests with one long prefix go to the same worker, which computes only the new tokens.'),
        step('cost', 'Compute the cost yourself', 12, 'Your own figure for the cost of a decision equals the one that the router recorded.'),
        step('distribution', 'Spread the load', 12, 'With four requests at a time both workers serve; with one at a time the cache decides.'),
      ],
    },
    {
      id: '04-disaggregated-serving',
      title: 'Disaggregated serving',
      summary: 'Split prefill and decode and follow the KV blocks from one to the other.',
      durationMinutes: 75,
      notebook: '04-disaggregated-serving/lab.ipynb',
      unavailable: 'needs four workers at once; this machine has memory for two',
      steps: [step('plan', 'Plan the split', 10, 'Predict which worker computes what.')],
    },
  ];
}

export function failingReport(lab: string, stepId: string): CheckReport {
  return {
    lab,
    step: stepId,
    verdict: 'FAIL',
    startedAt: time,
    durationMs: 412,
    assertions: [
      {
        id: 'graph-exists',
        title: 'The graph vllm-kv-demo exists',
        verdict: 'PASS',
        expected: 'DynamoGraphDeployment dynamo-cloud/vllm-kv-demo',
        observed: 'found, generation 1',
        evidence: ['e1'],
      },
      {
        id: 'workers-ready',
        title: 'Two workers are ready',
        verdict: 'FAIL',
        expected: '2 ready workers',
        observed: '1 ready worker; the other waits in ImagePullBackOff',
        evidence: ['e2'],
        hint: 'Compare the image names of the two worker pods.',
      },
      {
        id: 'router-mode',
        title: 'The router runs in mode kv',
        verdict: 'FAIL',
        expected: 'mode kv',
        observed: 'mode round-robin',
        evidence: ['e3'],
        hint: 'The frontend needs `--router-mode kv`.',
      },
    ],
    evidence: [
      {
        id: 'e1',
        source: 'GET /apis/nvidia.com/v1alpha1/namespaces/dynamo-cloud/dynamographdeployments/vllm-kv-demo',
        time,
        data: { state: 'pending', generation: 1 },
      },
      {
        id: 'e2',
        source: 'GET /api/v1/namespaces/dynamo-cloud/pods',
        time,
        data: [
          { pod: workers[0], ready: true },
          { pod: workers[1], ready: false, reason: 'ImagePullBackOff' },
        ],
      },
      { id: 'e3', source: 'GET http://vllm-kv-demo-frontend:8000/router/state', time, data: { mode: 'round-robin' } },
    ],
  };
}

export function passingReport(lab: string, stepId: string): CheckReport {
  const report = failingReport(lab, stepId);
  const observed = ['found, generation 1', '2 ready workers', 'mode kv'];
  return { ...report, verdict: 'PASS', assertions: report.assertions.map(({ hint: _hint, ...a }, i) => ({ ...a, verdict: 'PASS', observed: observed[i]! })) };
}

export function errorReport(lab: string, stepId: string): CheckReport {
  return {
    lab,
    step: stepId,
    verdict: 'ERROR',
    startedAt: time,
    durationMs: 5003,
    assertions: [],
    evidence: [],
    error: { code: 'API_UNREACHABLE', message: 'The Kubernetes API did not answer within 5 s. This is not your doing: run `npm run status`.' },
  };
}

export function topologyFixture(): TopologySnapshot {
  const pod = (name: string, fields: Partial<PodView> = {}): PodView => ({
    name,
    node: 'dynamo-labs-node-0',
    ip: '10.244.0.7',
    phase: 'Running',
    ready: true,
    restarts: 0,
    ...fields,
  });
  return {
    time,
    problems: [],
    graphs: [
      {
        namespace: 'dynamo-cloud',
        name: 'vllm-kv-demo',
        state: 'successful',
        ready: true,
        components: [
          { name: 'Frontend', type: 'frontend', replicas: 1, readyReplicas: 1, pods: [pod(frontend, { requests: { running: 2, waiting: 0, total: 48 } })] },
          {
            name: 'VllmDecodeWorker',
            type: 'worker',
            replicas: 3,
            readyReplicas: 2,
            pods: [
              pod(workers[0], { kv: { totalBlocks: 2048, usedBlocks: 312, cachedBlocks: 268 }, requests: { running: 1, waiting: 0, total: 31 } }),
              pod(workers[1], { kv: { totalBlocks: 2048, usedBlocks: 96, cachedBlocks: 84 }, requests: { running: 1, waiting: 1, total: 17 } }),
              pod('vllm-kv-demo-vllmdecodeworker-7d4b9c6f8-wk2vc', { ready: false, phase: 'Pending', reason: 'ImagePullBackOff', restarts: 0 }),
            ],
          },
        ],
        edges: [
          { from: frontend, to: workers[0], requests: 31, cachedBlocks: 268 },
          { from: frontend, to: workers[1], requests: 17, cachedBlocks: 84 },
        ],
      },
    ],
  };
}

export function decisionFixture(): RoutingDecision {
  const candidate = (i: 0 | 1, overlap: number, prefill: number): RoutingDecision['candidates'][number] => ({
    worker_id: i === 0 ? '7587891234567890123' : '1234567890123456789',
    dp_rank: 0,
    pod: workers[i],
    overlap_blocks: overlap,
    active_prefill_tokens: 0,
    active_decode_blocks: 4 + i,
    active_requests: 1,
    terms: { prefill: prefill, decode: 4 + i },
    cost: prefill + 4 + i,
  });
  return {
    sequence: 48,
    request_id: 'req-48',
    time,
    model: 'Qwen/Qwen2.5-1.5B-Instruct',
    mode: 'kv',
    block_size: 16,
    isl_tokens: 200,
    request_blocks: 12,
    formula: 'dynamo-0.8',
    weights: { overlap_score_weight: 1, temperature: 0 },
    candidates: [candidate(0, 10, 2.5), candidate(1, 0, 12.5)],
    chosen: { worker_id: '7587891234567890123', dp_rank: 0, pod: workers[0], overlap_blocks: 10, cost: 6.5 },
    tied: [],
    reason: 'worker …8qz5m holds 10 of the 12 blocks, so its prefill costs 2.5 blocks instead of 12.5',
    round_robin_choice: '1234567890123456789',
    timing_us: { hashing: 11, find_matches: 3, scoring: 2, total: 16 },
    outcome: { status: 'ok', prompt_tokens: 200, cached_tokens: 160, computed_tokens: 40, output_tokens: 32, ttft_ms: 41.2, duration_ms: 380 },
  };
}
