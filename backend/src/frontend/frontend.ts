import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Tracing, type Logger } from '../observability/index.ts';
import type { RoutingDecision } from '../protocol/index.ts';
import {
  createDiscovery,
  createEventPlane,
  dynamoNamespace,
  Resources,
  TcpRequestClient,
  tcpOptionsFromEnv,
  type Discovery,
  type EventPlane,
} from '../runtime/index.ts';
import type { FrontendArguments } from './arguments.ts';
import { TYPESCRIPT_KERNELS, type KvRouterOptions, type RouterKernels } from '../router/index.ts';
import { nativeKernels } from '../router/native/nativeKernels.ts';
import { ConditionalDisaggSettings } from './conditionalDisaggSettings.ts';
import { Dispatcher } from './dispatcher.ts';
import { frontendApp } from './frontendApp.ts';
import { FrontendMetrics } from './frontendMetrics.ts';
import { ModelManager } from './modelManager.ts';
import { ReplicaSync } from './replicaSync.ts';
import { RequestRecordStore } from './requestRecordStore.ts';
import type { WorkerSeries } from './workerGauges.ts';
import type { WorkerPool } from './workerPool.ts';

export interface FrontendOptions {
  flags: FrontendArguments;
  logger: Logger;
  env?: NodeJS.ProcessEnv;
  /** Default: as `--discovery-backend` says. */
  discovery?: Discovery;
}

/** One frontend: HTTP in front, discovery, router and planes behind. */
export class Frontend implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #resources: Resources;
  readonly #stop: AbortController;
  readonly #logger: Logger;
  readonly #inFlight: ReadonlySet<string>;
  #closing: Promise<void> | undefined;

  /** Resolves when HTTP is served; models appear as discovery shows them. */
  static async start({ flags, logger, env = process.env, discovery: given }: FrontendOptions): Promise<Frontend> {
    const resources = new Resources();
    try {
      for (const flag of flags.withoutEffect) logger.warn(`${flag} has no effect here`);
      const tracing = resources.use(await Tracing.open({ service: 'dynamo-frontend', logger: logger.child('dynamo_runtime::logging'), env }));
      const discovery = resources.use(given ?? createDiscovery(flags.discoveryBackend, logger, env));
      const requests = resources.use(new TcpRequestClient(tcpOptionsFromEnv(env)));
      const eventPlane = await openEventPlane(flags, logger, env);
      if (eventPlane !== undefined) resources.use(eventPlane);
      const replicas =
        eventPlane === undefined || !flags.replicaSync
          ? undefined
          : resources.use(new ReplicaSync({ plane: eventPlane, logger: logger.child('dynamo_llm::kv_router::sequence') }));
      const listeners = new Map<(decision: RoutingDecision) => void, Disposable[]>();
      const metrics = new FrontendMetrics(
        dynamoNamespace(flags.namespace, env),
        () => workerSeries(models),
        () => models.models.map(({ name, queue, prefill }) => ({ model: name, waiting: (queue?.waiting ?? 0) + (prefill?.queue?.waiting ?? 0) })),
      );
      const models: ModelManager = resources.use(
        new ModelManager({
          router: routerOptions(flags, logger),
          queue: flags.queue,
          blockSize: flags.kvCacheBlockSize,
          eventPlane: flags.kvEvents ? eventPlane : undefined,
          requests,
          logger: logger.child('dynamo_llm::discovery::watcher'),
          onWorkerRemoved: (workerId) => metrics.workers.forget(workerId),
          onKvEvent: (status, type, role) => metrics.kvEvent(status, type, role),
          onPool: (pool, model) => {
            replicas?.addPool(pool);
            if (pool.role === 'prefill') return;
            metrics.setModel(model.name, model.card, flags.serving.migrationLimit);
            for (const [listener, subscriptions] of listeners) subscriptions.push(model.router.decisions.subscribe(listener));
          },
        }),
      );
      const conditional = new ConditionalDisaggSettings(flags.serving.conditional);
      const dispatcher = new Dispatcher({
        requests,
        metrics,
        tracing,
        logger: logger.child('dynamo_llm::kv_router'),
        overloadStatus: Number(env['DYN_HTTP_OVERLOAD_STATUS_CODE'] ?? 503),
        onDisaggFailure: flags.serving.onDisaggFailure,
        conditional: () => conditional.current,
        migration: { limit: flags.serving.migrationLimit, maxSeqLen: flags.serving.migrationMaxSeqLen },
      });
      const records = new RequestRecordStore();
      const stop = new AbortController();
      const inFlight = new Set<string>();
      const app = frontendApp({
        models,
        dispatcher,
        records,
        tracing,
        conditional,
        adminApi: flags.adminApi,
        metrics,
        logger: logger.child('dynamo_llm::http::service'),
        inFlight,
        flags,
        eventPlane,
        replicas,
        subscribe: (listener) => {
          // Decisions are put into words only when somebody listens.
          listeners.set(
            listener,
            models.models.map((model) => model.router.decisions.subscribe(listener)),
          );
          return {
            [Symbol.dispose]: () => {
              for (const subscription of listeners.get(listener) ?? []) subscription[Symbol.dispose]();
              listeners.delete(listener);
            },
          };
        },
        signal: stop.signal,
        bodyLimitMb: Number(env['DYN_HTTP_BODY_LIMIT_MB'] ?? 192),
      });
      const server = createServer(app);
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: flags.httpHost, port: flags.httpPort }, resolve);
      });
      const frontend = new Frontend({ server, resources, stop, logger, inFlight });
      logger.info(`Starting HTTP(S) service on ${flags.httpHost}:${frontend.port}`, {
        router_mode: flags.routerMode,
        discovery: discovery.backend,
        event_plane: eventPlane?.kind ?? 'none',
      });
      const watched = flags.namespace === undefined ? {} : { namespace: flags.namespace };
      // The first look may take as long as the API server does; HTTP says meanwhile that there are no models.
      discovery
        .watch(models, watched)
        .then(async () => {
          if (replicas === undefined) return;
          await replicas.announce(discovery, dynamoNamespace(flags.namespace, env));
          await discovery.watch(replicas, watched);
        })
        .catch((error: unknown) => logger.error(`discovery (${discovery.backend}) cannot be watched: ${(error as Error).message}`));
      return frontend;
    } catch (error) {
      await resources.close();
      throw error;
    }
  }

  private constructor(parts: { server: Server; resources: Resources; stop: AbortController; logger: Logger; inFlight: ReadonlySet<string> }) {
    this.#server = parts.server;
    this.#resources = parts.resources;
    this.#stop = parts.stop;
    this.#logger = parts.logger;
    this.#inFlight = parts.inFlight;
    this.port = (parts.server.address() as AddressInfo).port;
  }

  /** Takes no new connections, lets answers finish for at most `graceMs` (Dynamo's 5 s), then closes. */
  close(graceMs = 5_000): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(graceMs: number): Promise<void> {
    this.#logger.info('Shutting down', { in_flight: this.#inFlight.size });
    this.#stop.abort();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([closed, new Promise<void>((resolve) => (timer = setTimeout(resolve, graceMs)))]);
    clearTimeout(timer);
    this.#server.closeAllConnections();
    await closed;
    await this.#resources.close();
    this.#logger.info('Frontend stopped');
  }
}

function routerOptions(flags: FrontendArguments, logger: Logger): Omit<KvRouterOptions, 'blockSize'> {
  const { routerMode: mode, weights, formula, kvEvents, busy, approximate, predictedTtlMs, routerSeed: seed } = flags;
  return {
    mode,
    weights,
    formula,
    kvEvents,
    busy,
    approximate,
    kernels: routerKernels(logger),
    ...(predictedTtlMs === undefined ? {} : { predictedTtlMs }),
    ...(seed === undefined ? {} : { seed }),
  };
}

/** The C++ ones where the addon is built; the TypeScript ones answer the same, slower. */
function routerKernels(logger: Logger): RouterKernels {
  try {
    return nativeKernels();
  } catch (error) {
    logger.warn(`router index in TypeScript, the native one cannot be loaded: ${(error as Error).message}`);
    return TYPESCRIPT_KERNELS;
  }
}

async function openEventPlane(flags: FrontendArguments, logger: Logger, env: NodeJS.ProcessEnv): Promise<EventPlane | undefined> {
  if (flags.routerMode !== 'kv') return undefined;
  if (!flags.kvEvents) logger.warn('router mode kv without KV events: overlap is guessed from this router’s own decisions');
  if (!flags.kvEvents && !flags.replicaSync) return undefined;
  return createEventPlane({
    kind: flags.eventPlane,
    publisher: flags.replicaSync,
    namespace: dynamoNamespace(flags.namespace, env),
    component: 'frontend',
    logger,
    env,
  });
}

function workerSeries(models: ModelManager): WorkerSeries[] {
  return models.models.flatMap((model) => {
    const loads = (pool: WorkerPool): WorkerSeries[] => pool.router.loads().map((load) => ({ ...load, role: pool.role }));
    return model.prefill === undefined ? loads(model) : [...loads(model), ...loads(model.prefill)];
  });
}
