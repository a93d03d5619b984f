import { isReady, type CheckContext, type EventPlaneView, type K8sObject } from '@dynamo-labs/backend/validation';
import { graph, graphName, model, namespace, nodePort, requireFrontend, serviceName } from './scene.ts';

const gpu = 'nvidia.com/gpu';

export async function checkDeploy(ctx: CheckContext): Promise<void> {
  const client = graph(ctx.cluster);
  const object = await client.deployment();
  const pods = await client.pods();
  const conditions = (object?.['status']?.conditions ?? []) as { type: string; status: string; message?: string }[];
  const ready = conditions.find((condition) => condition.type === 'Ready');
  const seen = ctx.evidence(`DynamoGraphDeployment ${namespace}/${graphName} and its pods`, {
    status: object?.['status'],
    pods: pods.map((pod) => ({ name: pod.metadata?.name, ready: isReady(pod), reason: waitingReason(pod) })),
  });
  ctx.require({
    id: 'graph-ready',
    title: `The graph ${graphName} is Ready`,
    ok: ready?.status === 'True',
    expected: 'condition Ready True',
    observed:
      object === undefined
        ? `no DynamoGraphDeployment ${graphName} in namespace ${namespace}`
        : `Ready ${ready?.status ?? 'unknown'}: ${ready?.message ?? pods.map((pod) => waitingReason(pod) ?? '').join(' ')}`,
    evidence: [seen],
    hint: 'kubectl get pods -n dynamo; a pod in CreateContainerConfigError misses something it refers to, such as the Secret hf-token-secret.',
  });
  const workers = (await client.pods('worker')).filter(isReady);
  ctx.require({
    id: 'two-workers',
    title: 'Two worker pods are Ready',
    ok: workers.length === 2,
    expected: '2',
    observed: String(workers.length),
    evidence: [seen],
  });
  const frontend = await requireFrontend(ctx);
  const state = await client.routerState(frontend);
  const live = ctx.evidence(`GET /router/state of pod ${frontend}`, state);
  ctx.require({
    id: 'router-mode-kv',
    title: 'The running router is in mode kv',
    ok: state.mode === 'kv',
    expected: 'kv',
    observed: state.mode,
    evidence: [live],
    hint: 'The default mode is round-robin. It is chosen on the command line of dynamo.frontend.',
  });
  const names = workers.map((pod) => pod.metadata?.name).toSorted();
  ctx.require({
    id: 'workers-discovered',
    title: 'The router knows exactly these two workers',
    ok: JSON.stringify(state.workers.map((worker) => worker.pod).toSorted()) === JSON.stringify(names),
    expected: names.join(', '),
    observed: state.workers.map((worker) => worker.pod ?? worker.worker_id).join(', ') || 'none',
    evidence: [live],
  });
  const workerEvents = await Promise.all(names.map(async (name) => ({ pod: name ?? '', events: (await client.workerState(name ?? '')).kv_events })));
  const streams = ctx.evidence('GET /engine/state of both workers: kv_events', workerEvents);
  ctx.require({
    id: 'events-on',
    title: 'Both workers publish cache events, and the router follows them',
    ok: state.kv_events.followed && workerEvents.every(({ events }) => events.enabled),
    expected: 'on, on all three',
    observed: `router: ${state.kv_events.followed ? 'on' : 'off'}, ${workerEvents.map(({ pod, events }) => `${pod}: ${events.enabled ? 'on' : 'off'}`).join(', ')}`,
    evidence: [live, streams],
    hint: 'Without prefix caching there is nothing to publish, and a kv router silently routes by load alone.',
  });
  const overNats = (view: EventPlaneView): boolean => view.connected === true && view.kind === 'nats';
  const describe = (view: EventPlaneView): string =>
    `${view.kind ?? 'none'} ${view.connected === true ? 'connected' : 'not connected'}${view.address === undefined ? '' : ` (${view.address})`}`;
  ctx.assert({
    id: 'events-connected',
    title: 'Their events reach the router over NATS',
    ok: overNats(state.kv_events) && workerEvents.every(({ events }) => overNats(events)),
    expected: 'router and both workers connected to NATS',
    observed: `router: ${describe(state.kv_events)}; ${workerEvents.map(({ pod, events }) => `${pod}: ${describe(events)}`).join('; ')}`,
    evidence: [live, streams],
    hint: 'NATS_SERVER must name a Service that exists: kubectl get svc -A | grep 4222',
  });
}

export async function checkCapacity(ctx: CheckContext): Promise<void> {
  const nodes = await ctx.cluster.list('v1', 'Node');
  const pods = await ctx.cluster.list('v1', 'Pod');
  const allocatable = nodes.reduce((sum, node) => sum + Number(node['status']?.allocatable?.[gpu] ?? 0), 0);
  const users = pods
    .filter((pod) => pod['spec']?.nodeName !== undefined && !['Succeeded', 'Failed'].includes(pod['status']?.phase as string))
    .map((pod) => ({
      pod: `${pod.metadata?.namespace}/${pod.metadata?.name}`,
      gpus: ((pod['spec']?.containers ?? []) as { resources?: { requests?: Record<string, string> } }[]).reduce(
        (sum, container) => sum + Number(container.resources?.requests?.[gpu] ?? 0),
        0,
      ),
    }))
    .filter((user) => user.gpus > 0);
  const used = users.reduce((sum, user) => sum + user.gpus, 0);
  const seen = ctx.evidence('nodes and scheduled pods', { allocatable, users });
  ctx.require({
    id: 'workers-hold-gpus',
    title: 'The workers of the graph hold GPUs',
    ok: users.some((user) => user.pod.startsWith(`${namespace}/${graphName}-`)),
    expected: `pods of ${graphName} with ${gpu} requests`,
    observed: `${users.length} pods hold GPUs`,
    evidence: [seen],
    hint: 'Finish the step "deploy" first.',
  });
  const answer = ctx.answers['free'];
  const given = ctx.evidence('your answer', { free: answer ?? null });
  ctx.require({
    id: 'answer-given',
    title: 'You handed in a number',
    ok: typeof answer === 'number',
    expected: "step.answer('free', <number>)",
    observed: JSON.stringify(answer ?? null),
    evidence: [given],
    hint: 'A string is not a number: "1" + "1" is "11", also in jq.',
  });
  ctx.assert({
    id: 'free-equals',
    title: 'It is what the scheduler can still give away',
    ok: answer === allocatable - used,
    expected: 'Σ allocatable − Σ requests of scheduled, unfinished pods',
    observed: `you: ${String(answer)}; allocatable ${allocatable}, requested ${used}`,
    evidence: [seen, given],
    hint: 'ALLOCATABLE never changes with use: it is the size of the pool, not what is left in it.',
  });
}

export async function checkExpose(ctx: CheckContext): Promise<void> {
  const service = await ctx.cluster.get('v1', 'Service', serviceName, namespace);
  const port = ((service?.['spec']?.ports ?? []) as { nodePort?: number; port: number }[])[0];
  const seen = ctx.evidence(`Service ${namespace}/${serviceName}`, service?.['spec'] ?? null);
  ctx.require({
    id: 'service-exists',
    title: `Service ${serviceName} is a NodePort on ${nodePort}`,
    ok: service?.['spec']?.type === 'NodePort' && port?.nodePort === nodePort,
    expected: `type NodePort, nodePort ${nodePort}`,
    observed: service === undefined ? 'no such Service' : `type ${service['spec']?.type}, nodePort ${port?.nodePort}`,
    evidence: [seen],
    hint: 'If the API server says "provided port is already allocated", another Service holds 30200: kubectl get svc -A | grep 30200',
  });
  const slices = await ctx.cluster.list('discovery.k8s.io/v1', 'EndpointSlice', { namespace, labelSelector: `kubernetes.io/service-name=${serviceName}` });
  const targets = slices
    .flatMap((slice: K8sObject) => (slice['endpoints'] ?? []) as { targetRef?: { name: string }; conditions?: { ready?: boolean } }[])
    .filter((endpoint) => endpoint.conditions?.ready !== false);
  const names = targets.map((endpoint) => endpoint.targetRef?.name ?? '').toSorted();
  const frontends = (await graph(ctx.cluster).pods('frontend')).filter(isReady).map((pod) => pod.metadata?.name ?? '');
  ctx.require({
    id: 'service-selects-frontend',
    title: 'It leads to the frontend and to nothing else',
    ok: frontends.length > 0 && JSON.stringify(names) === JSON.stringify(frontends.toSorted()),
    expected: frontends.join(', ') || 'a Ready frontend pod',
    observed: names.join(', ') || 'no endpoints',
    evidence: [ctx.evidence(`EndpointSlices of ${serviceName}`, targets), seen],
    hint: 'Compare the selector with the labels, letter by letter: kubectl get pods -n dynamo --show-labels',
  });
  const answer = await ctx.cluster.service(namespace, serviceName, port?.port ?? 8000, '/v1/models');
  ctx.assert({
    id: 'service-answers',
    title: 'The models endpoint answers through it and lists the model',
    ok: answer.status === 200 && answer.body.includes(model),
    expected: `HTTP 200 with ${model}`,
    observed: `HTTP ${answer.status} ${answer.body.slice(0, 120)}`,
    evidence: [ctx.evidence(`GET /v1/models through Service ${serviceName}`, answer.body.slice(0, 1000))],
  });
}

function waitingReason(pod: K8sObject): string | undefined {
  const statuses = (pod['status']?.containerStatuses ?? []) as { state?: { waiting?: { reason?: string; message?: string } } }[];
  const waiting = statuses.find((status) => status.state?.waiting !== undefined)?.state?.waiting;
  return waiting === undefined ? undefined : `${waiting.reason}: ${waiting.message ?? ''}`;
}
