import { isReady, type CheckContext } from '@dynamo-labs/backend/validation';
import { natsNamespace } from './scene.ts';

const pod = 'nats-0';
const monitorPort = 8222;
const askedBytes = 1024 ** 3;

interface Connection {
  start: string;
  in_msgs: number;
  ip: string;
  name?: string;
  lang?: string;
}

export async function checkNats(ctx: CheckContext): Promise<void> {
  const set = await ctx.cluster.get('apps/v1', 'StatefulSet', 'nats', natsNamespace);
  const object = await ctx.cluster.get('v1', 'Pod', pod, natsNamespace);
  const seen = ctx.evidence(`StatefulSet nats and pod ${pod} in ${natsNamespace}`, { set: set?.['status'], pod: object?.['status'] });
  const containers = (object?.['status']?.containerStatuses ?? []) as { ready: boolean }[];
  ctx.require({
    id: 'nats-ready',
    title: 'StatefulSet nats runs in nats-system, and every container of nats-0 is ready',
    ok: set?.['status']?.readyReplicas === 1 && object !== undefined && isReady(object),
    expected: 'nats-0 Ready',
    observed: object === undefined ? 'no pod nats-0' : `${containers.filter((container) => container.ready).length}/${containers.length} containers ready`,
    evidence: [seen],
    hint: 'kubectl describe pod nats-0 -n nats-system shows what it waits for.',
  });
  const varz = await ctx.cluster.pod(natsNamespace, pod, monitorPort, '/varz');
  const jetstream = (JSON.parse(varz.body) as { jetstream?: { config?: { max_storage?: number; store_dir?: string } } }).jetstream;
  ctx.require({
    id: 'jetstream-enabled',
    title: 'The running server has JetStream on',
    ok: jetstream?.config !== undefined,
    expected: 'a jetstream section in /varz',
    observed: jetstream?.config === undefined ? 'none: keys in the wrong place are ignored without a word' : JSON.stringify(jetstream.config),
    evidence: [ctx.evidence('GET /varz of nats-0: jetstream', jetstream ?? null)],
    hint: 'Do not trust the values you wrote; read what the server says: its configuration file needs a jetstream block.',
  });
  ctx.assert({
    id: 'jetstream-storage',
    title: 'It may keep 1 GiB on disk, as asked',
    ok: jetstream?.config?.max_storage === askedBytes,
    expected: `max_storage ${askedBytes}`,
    observed: String(jetstream?.config?.max_storage),
    evidence: [ctx.evidence('GET /varz of nats-0: jetstream.config', jetstream?.config ?? null)],
  });
  const claim = await ctx.cluster.get('v1', 'PersistentVolumeClaim', 'data-nats-0', natsNamespace);
  ctx.assert({
    id: 'storage-bound',
    title: 'Its storage is a bound PersistentVolumeClaim, so messages survive the pod',
    ok: claim?.['status']?.phase === 'Bound',
    expected: 'PersistentVolumeClaim data-nats-0 Bound',
    observed: claim === undefined ? 'no such claim' : String(claim['status']?.phase),
    evidence: [ctx.evidence('PersistentVolumeClaim data-nats-0', claim?.['status'] ?? null)],
  });
}

export async function checkPublish(ctx: CheckContext): Promise<void> {
  const object = await ctx.cluster.get('v1', 'Pod', pod, natsNamespace);
  ctx.require({
    id: 'nats-ready',
    title: 'nats-0 is Ready',
    ok: object !== undefined && isReady(object),
    expected: 'Ready',
    observed: object === undefined ? 'no pod nats-0' : 'not Ready',
    evidence: [ctx.evidence('pod nats-0', object?.['status'] ?? null)],
    hint: 'Finish the step "nats" first.',
  });
  const answers = await Promise.all(['open', 'closed'].map((state) => ctx.cluster.pod(natsNamespace, pod, monitorPort, `/connz?state=${state}&limit=1024`)));
  const connections = answers
    .flatMap((answer) => (JSON.parse(answer.body) as { connections: Connection[] }).connections)
    .filter((connection) => Date.parse(connection.start) >= Date.parse(ctx.since));
  const seen = ctx.evidence(
    `GET /connz of nats-0, connections since ${ctx.since}`,
    connections.map(({ start, in_msgs, ip, name, lang }) => ({ start, in_msgs, ip, name, lang })),
  );
  ctx.require({
    id: 'publisher-connected',
    title: 'A client connected to the server',
    ok: connections.length > 0,
    expected: 'at least one connection in this attempt',
    observed: 'none',
    evidence: [seen],
    hint: '`kubectl run --rm` needs an attached terminal: add -i. Otherwise the client refuses before anything starts.',
  });
  const published = connections.reduce((sum, connection) => sum + connection.in_msgs, 0);
  ctx.assert({
    id: 'message-received',
    title: 'The server received a message from it',
    ok: published > 0,
    expected: 'at least 1 message',
    observed: `${published} messages over ${connections.length} connections`,
    evidence: [seen],
    hint: 'Connecting or subscribing is not publishing: nats pub <subject> <text> -s nats://nats.nats-system:4222',
  });
}
