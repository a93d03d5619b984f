import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultCredentials, KubeClient } from '../kube/index.ts';
import { loggerFromEnv } from '../observability/index.ts';
import { HealthServer } from './controller/healthServer.ts';
import { LeaderElection } from './controller/leaderElection.ts';
import { Operator } from './controller/operator.ts';
import { OperatorMetrics } from './controller/operatorMetrics.ts';

const usage = `Usage: manager [options]
  --leader-elect                      act only while holding the Lease
  --leader-election-namespace NS      default: $POD_NAMESPACE, else dynamo-system
  --namespace NS                      watch one namespace only
  --bind-address HOST:PORT            /healthz, /readyz and /metrics; default 0.0.0.0:8081
  --nats-address URL, --etcd-address URL, --model-express-url URL, --prometheus-endpoint URL
                                      injected into every pod that does not set its own
  --discovery-backend kubernetes|etcd default kubernetes
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean' },
    'leader-elect': { type: 'boolean' },
    'leader-election-namespace': { type: 'string', default: process.env['POD_NAMESPACE'] ?? 'dynamo-system' },
    namespace: { type: 'string' },
    'bind-address': { type: 'string', default: '0.0.0.0:8081' },
    'nats-address': { type: 'string' },
    'etcd-address': { type: 'string' },
    'model-express-url': { type: 'string' },
    'prometheus-endpoint': { type: 'string' },
    'discovery-backend': { type: 'string', default: 'kubernetes' },
  },
});

if (values.help === true) {
  process.stdout.write(usage);
  process.exit(0);
}
const discoveryBackend = values['discovery-backend'];
if (discoveryBackend !== 'kubernetes' && discoveryBackend !== 'etcd') {
  process.stderr.write(`--discovery-backend: "${discoveryBackend}" is neither kubernetes nor etcd\n`);
  process.exit(2);
}

const logger = loggerFromEnv('dynamo_operator');
const stopping = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.abort(new Error(signal)));

const client = new KubeClient(defaultCredentials());
const metrics = new OperatorMetrics();
const operator = new Operator({
  client,
  logger,
  metrics,
  ...(values.namespace === undefined ? {} : { namespace: values.namespace }),
  options: {
    discoveryBackend,
    ...(values['nats-address'] === undefined ? {} : { natsAddress: values['nats-address'] }),
    ...(values['etcd-address'] === undefined ? {} : { etcdAddress: values['etcd-address'] }),
    ...(values['model-express-url'] === undefined ? {} : { modelExpressUrl: values['model-express-url'] }),
    ...(values['prometheus-endpoint'] === undefined ? {} : { prometheusEndpoint: values['prometheus-endpoint'] }),
  },
});
const address = values['bind-address'];
const health = new HealthServer({
  host: address.slice(0, address.lastIndexOf(':')) || '0.0.0.0',
  port: Number(address.slice(address.lastIndexOf(':') + 1)),
  metrics,
  ready: () => operator.synced,
});
const leaseName = 'dynamo-operator-leader-election';
const election = new LeaderElection({
  client,
  namespace: values['leader-election-namespace'],
  name: leaseName,
  identity: `${process.env['POD_NAME'] ?? hostname()}_${process.pid}`,
});

/** Retries until the API server answers: the operator may start before it does. */
async function acquireLeadership(): Promise<void> {
  metrics.leader.set({ name: leaseName }, 0);
  for (;;) {
    try {
      await election.acquire(stopping.signal);
      metrics.leader.set({ name: leaseName }, 1);
      logger.info('became leader', { lease: `${values['leader-election-namespace']}/${leaseName}` });
      return;
    } catch (error) {
      stopping.signal.throwIfAborted();
      logger.warn('leader election failed, trying again', { error: String(error) });
      await sleep(1000, undefined, { signal: stopping.signal });
    }
  }
}

let exitCode = 0;
try {
  const port = await health.listen();
  logger.info('Starting manager', { server: client.credentials.server, port });
  const aborted = new Promise<never>((_, reject) => stopping.signal.addEventListener('abort', () => reject(stopping.signal.reason as Error), { once: true }));
  aborted.catch(() => {});
  await Promise.race([operator.start(), aborted]);
  logger.info('Caches are filled');
  if (values['leader-elect'] === true) await acquireLeadership();
  operator.lead();
  if (values['leader-elect'] === true) await election.hold(stopping.signal);
  else await aborted;
} catch (error) {
  if (!stopping.signal.aborted) {
    logger.error('manager failed', { error: String(error), cause: error instanceof Error && error.cause !== undefined ? String(error.cause) : undefined });
    exitCode = 1;
  }
}
logger.info('Stopping manager');
await operator.stop();
await election.release().catch((error: unknown) => logger.warn('the lease was not released', { error: String(error) }));
await health.close();
client.close();
process.exitCode = exitCode;
