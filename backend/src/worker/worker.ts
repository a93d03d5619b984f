import type { LlmEngine, LlmEngineOptions } from '../engine/index.ts';
import type { Logger } from '../observability/index.ts';
import {
  createDiscovery,
  createEventPlane,
  dynamoNamespace,
  endpointNames,
  Resources,
  tcpOptionsFromEnv,
  TcpRequestServer,
  topics,
  type Discovery,
  type EventPlane,
  type RequestPlaneServer,
} from '../runtime/index.ts';
import type { WorkerArguments } from './arguments.ts';
import { generateEndpoint } from './generateEndpoint.ts';
import { KvEventPublisher } from './kvEventPublisher.ts';
import { kvEventsEndpoint } from './kvEventsEndpoint.ts';
import { kvBlocks, modelCard } from './modelCard.ts';
import { findServedModel } from './servedModel.ts';
import { SystemServer } from './systemServer.ts';
import { WorkerMetrics } from './workerMetrics.ts';

export interface WorkerOptions {
  flags: WorkerArguments;
  logger: Logger;
  createEngine: (options: LlmEngineOptions, signal?: AbortSignal) => Promise<LlmEngine>;
  env?: NodeJS.ProcessEnv;
  /** Default: as `--discovery-backend` says. */
  discovery?: Discovery;
  signal?: AbortSignal;
}

/** The prompt and the wanted length do not fit the model. `code` INVALID_CONFIG. */
export class WorkerConfigError extends Error {
  readonly code = 'INVALID_CONFIG';
  constructor(message: string) {
    super(message);
    this.name = 'WorkerConfigError';
  }
}

type Phase = 'starting' | 'ready' | 'draining' | 'closed';

/**
 * One aggregated worker: loads the model, serves it on the request plane, tells discovery and the event plane about it.
 * Comes up in that order, so that nobody finds it before it can answer, and goes down in the reverse one.
 */
export class Worker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #namespace: string;
  readonly #metrics: WorkerMetrics;
  readonly #resources = new Resources();
  #phase: Phase = 'starting';
  #engine: LlmEngine | undefined;
  #discovery: Discovery | undefined;
  #plane: EventPlane | undefined;
  #publisher: KvEventPublisher | undefined;
  #server: RequestPlaneServer | undefined;
  #system: SystemServer | undefined;
  #closing: Promise<void> | undefined;

  /** Resolves when the worker is registered. On any failure everything that was started is stopped again. */
  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options);
    try {
      await worker.#start();
    } catch (error) {
      await worker.close(0);
      throw error;
    }
    return worker;
  }

  private constructor(options: WorkerOptions) {
    this.#options = options;
    this.#env = options.env ?? process.env;
    this.#namespace = dynamoNamespace(options.flags.namespace, this.#env);
    const { component, endpoint, servedModelName } = options.flags;
    this.#metrics = new WorkerMetrics({ namespace: this.#namespace, component, endpoint, model: servedModelName });
  }

  get instanceId(): bigint | undefined {
    return this.#discovery?.instanceId;
  }

  get systemPort(): number | undefined {
    return this.#system?.port;
  }

  /** Leaves discovery, finishes what runs for at most `graceMs`, then stops everything. */
  close(graceMs = 30_000): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    const { flags, logger, createEngine, signal } = this.#options;
    await this.#openSystemServer();
    const served = findServedModel(flags.model, this.#env);
    for (const flag of flags.withoutEffect) logger.warn(`${flag} has no effect here: this engine computes on CPU threads`);
    logger.info(`Loading model ${flags.model}`, { folder: served.dir });
    if (served.standIn) logger.warn(`${flags.model} is served by a stand-in model; every answer says so`);
    const begin = performance.now();
    const engine = this.#resources.use(
      await createEngine(
        {
          modelDir: served.dir,
          blocks: kvBlocks(flags),
          blockTokens: flags.blockSize,
          maxNumSeqs: flags.maxNumSeqs,
          maxNumBatchedTokens: flags.maxNumBatchedTokens,
          enablePrefixCaching: flags.enablePrefixCaching,
          threads: Number(this.#env['DYNAMO_LABS_ENGINE_THREADS'] ?? 1),
          ...(flags.maxModelLen === undefined ? {} : { maxModelLen: flags.maxModelLen }),
        },
        signal,
      ),
    );
    this.#engine = engine;
    this.#metrics.observe(engine);
    const { name, parameters, contextLength, kvBytesPerBlock } = engine.model;
    const { totalBlocks } = engine.stats();
    logger.info(`Model loading took ${((performance.now() - begin) / 1000).toFixed(2)} seconds`, { engine: name, parameters });
    logger.info(`KV cache: ${totalBlocks} blocks of ${flags.blockSize} tokens`, {
      bytes: totalBlocks * kvBytesPerBlock,
      prefix_caching: flags.enablePrefixCaching,
    });
    if (flags.maxModelLen !== undefined && flags.maxModelLen > contextLength) {
      throw new WorkerConfigError(
        `User-specified max_model_len (${flags.maxModelLen}) is greater than the derived max_model_len (${contextLength}) of ${name}`,
      );
    }
    const maxModelLen = Math.min(flags.maxModelLen ?? contextLength, totalBlocks * flags.blockSize);
    this.#discovery = this.#resources.use(this.#options.discovery ?? createDiscovery(flags.discoveryBackend, logger, this.#env));
    // Registering may wait for the API server: a stop must not.
    signal?.addEventListener('abort', () => void this.#discovery?.close().catch(() => {}), { once: true });
    await this.#publishEvents(engine, this.#discovery);
    const server = this.#resources.use(await TcpRequestServer.listen(tcpOptionsFromEnv(this.#env)));
    this.#server = server;
    server.serve(
      flags.endpoint,
      generateEndpoint({ engine, metrics: this.#metrics, logger: logger.child('dynamo::vllm::handlers'), logRequests: flags.logRequests, maxModelLen }),
    );
    const transport = { tcp: server.address };
    const endpoints = { [flags.endpoint]: transport, ...this.#serveKvEvents(server, engine), [endpointNames.clearKvBlocks]: transport };
    server.serve(endpointNames.clearKvBlocks, async function* () {
      yield { status: 'success', cleared_blocks: await engine.clearPrefixCache() };
    });
    const card = modelCard({ engine, served, flags, maxModelLen, eventPlane: this.#plane?.kind ?? 'none' });
    signal?.throwIfAborted();
    await this.#discovery.register({
      namespace: this.#namespace,
      component: flags.component,
      endpoints,
      modelCard: card,
      eventChannels:
        this.#plane === undefined ? {} : { [topics.kvEvents]: this.#plane.channel(topics.kvEvents), [topics.kvMetrics]: this.#plane.channel(topics.kvMetrics) },
    });
    this.#phase = 'ready';
    logger.info(`added model model_name="${card.display_name}"`, { namespace: this.#namespace, component: flags.component, endpoint: flags.endpoint });
    logger.info(`Serving on request plane tcp ${server.address}`, { instance_id: this.#discovery.instanceId, discovery: this.#discovery.backend });
  }

  async #openSystemServer(): Promise<void> {
    const enabled = ['1', 'true'].includes((this.#env['DYN_SYSTEM_ENABLED'] ?? '').toLowerCase());
    const port = Number(this.#env['DYN_SYSTEM_PORT'] ?? (enabled ? 9090 : -1));
    if (port < 0) return;
    const system = await SystemServer.listen({
      host: this.#env['DYN_SYSTEM_HOST'] ?? (this.#env['POD_IP'] === undefined ? '127.0.0.1' : '0.0.0.0'),
      port,
      health: () => ({
        ready: this.#phase === 'ready',
        status: this.#phase === 'ready' ? 'ready' : 'notready',
        endpoints: { [this.#options.flags.endpoint]: this.#phase === 'ready' ? 'ready' : 'notready' },
        uptimeSeconds: this.#metrics.uptimeSeconds,
      }),
      metrics: async () => ({ contentType: this.#metrics.contentType, text: await this.#metrics.text() }),
      state: () => this.#state(),
      clearPrefixCache: () => this.#engine?.clearPrefixCache(),
    });
    this.#system = this.#resources.use(system);
    this.#options.logger.info(`System status server on port ${system.port}`);
  }

  async #publishEvents(engine: LlmEngine, discovery: Discovery): Promise<void> {
    const { flags, logger } = this.#options;
    if (!flags.kvEvents) {
      logger.warn('KV events are off: a KV router sees no overlap on this worker and routes by load only');
      return;
    }
    const plane = await createEventPlane({
      kind: flags.eventPlane,
      publisher: true,
      namespace: this.#namespace,
      component: flags.component,
      logger,
      env: this.#env,
    });
    this.#plane = this.#resources.use(plane);
    const publisher = new KvEventPublisher({ plane, workerId: discovery.instanceId, logger: logger.child('dynamo::vllm::publisher') });
    this.#publisher = this.#resources.use(publisher);
    this.#resources.use(engine.onKvEvent(publisher.publish));
  }

  #serveKvEvents(server: TcpRequestServer, engine: LlmEngine): Record<string, { tcp: string }> {
    if (this.#publisher === undefined) return {};
    server.serve(endpointNames.kvEvents, kvEventsEndpoint({ history: this.#publisher.history, dump: () => engine.dumpKvEvents() }));
    return { [endpointNames.kvEvents]: { tcp: server.address } };
  }

  #state(): unknown {
    if (this.#engine === undefined) return undefined;
    const { flags } = this.#options;
    return {
      instance_id: String(this.#discovery?.instanceId ?? ''),
      pod: this.#env['POD_NAME'],
      namespace: this.#namespace,
      component: flags.component,
      model: { served_as: flags.servedModelName, ...this.#engine.model },
      engine: this.#engine.stats(),
      requests: this.#metrics.counts,
      kv_events:
        this.#plane === undefined ? { enabled: false } : { enabled: true, last_event_id: this.#publisher?.history.lastEventId ?? -1, ...this.#plane.state },
      request_plane: { plane: 'tcp', address: this.#server?.address, in_flight: this.#server?.inFlight },
      discovery: { backend: this.#discovery?.backend },
    };
  }

  async #close(graceMs: number): Promise<void> {
    this.#phase = 'draining';
    const { logger } = this.#options;
    const inFlight = this.#server?.inFlight ?? 0;
    logger.info('Shutting down: no new requests', { in_flight: inFlight });
    await this.#discovery?.withdraw().catch((error: unknown) => logger.warn(`could not leave discovery: ${(error as Error).message}`));
    const drained = (await this.#server?.drain(graceMs)) ?? true;
    if (!drained) logger.warn(`requests still running after ${graceMs} ms are cancelled`, { in_flight: this.#server?.inFlight });
    await this.#resources.close();
    this.#phase = 'closed';
    logger.info('Worker stopped');
  }
}
