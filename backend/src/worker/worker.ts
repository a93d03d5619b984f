import type { LlmEngine, LlmEngineOptions } from '../engine/index.ts';
import { Tracing, type Logger } from '../observability/index.ts';
import {
  createDiscovery,
  createEventPlane,
  dynamoNamespace,
  endpointNames,
  logLostCaller,
  Resources,
  tcpOptionsFromEnv,
  TcpRequestClient,
  TcpRequestServer,
  topics,
  type Discovery,
  type EventPlane,
  type RequestPlaneServer,
} from '../runtime/index.ts';
import type { WorkerArguments } from './arguments.ts';
import { Canary, canaryEnabled, canaryTimes } from './canary.ts';
import { EngineDeadError, failedStepsUntilDead } from './engineDeadError.ts';
import { observeEventLoop } from './eventLoopMetrics.ts';
import { generateEndpoint } from './generateEndpoint.ts';
import { KvEventPublisher } from './kvEventPublisher.ts';
import { kvEventsEndpoint } from './kvEventsEndpoint.ts';
import { createConnector, type NixlConnector } from './kvTransfer/index.ts';
import { modelCard } from './modelCard.ts';
import { startEngine } from './startEngine.ts';
import { StepDeadline, stepTimeoutMs } from './stepDeadline.ts';
import { tracedEndpoint } from './tracedEndpoint.ts';
import { systemAddress, SystemServer } from './systemServer.ts';
import { checkTokenizer } from './tokenizerCheck.ts';
import { warmUp } from './warmUp.ts';
import { serveAdministration } from './workerEndpoints.ts';
import { WorkerHealth } from './workerHealth.ts';
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

/** Decode workers that were sent here have so long to read the blocks of a worker that leaves. */
const kvHandoverMs = 5_000;

/**
 * One worker, aggregated, prefill or decode: loads the model, serves it on the request plane, tells discovery and the event plane about it.
 * Comes up in that order, so that nobody finds it before it can answer, and goes down in the reverse one.
 */
export class Worker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #namespace: string;
  readonly #metrics: WorkerMetrics;
  readonly #resources = new Resources();
  readonly #health: WorkerHealth;
  readonly #failed = Promise.withResolvers<EngineDeadError>();
  #engine: LlmEngine | undefined;
  #connector: NixlConnector | undefined;
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
    this.#health = new WorkerHealth({ liveIsHealth: canaryEnabled(this.#env) });
    const { component, endpoint, servedModelName } = options.flags;
    this.#metrics = new WorkerMetrics({ namespace: this.#namespace, component, endpoint, model: servedModelName });
  }

  get instanceId(): bigint | undefined {
    return this.#discovery?.instanceId;
  }

  get systemPort(): number | undefined {
    return this.#system?.port;
  }

  /** Resolves when the engine is dead: `/health` and `/live` say so, discovery no longer shows this worker, and it should be closed. */
  get failed(): Promise<EngineDeadError> {
    return this.#failed.promise;
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
    this.#discovery = this.#resources.use(this.#options.discovery ?? createDiscovery(flags.discoveryBackend, logger, this.#env));
    // Registering may wait for the API server: a stop must not.
    signal?.addEventListener('abort', () => void this.#discovery?.close().catch(() => {}), { once: true });
    const connector = createConnector({ flags, namespace: this.#namespace, instanceId: this.#discovery.instanceId, env: this.#env, logger });
    if (connector) this.#connector = this.#resources.use(connector);
    connector?.registerMetrics(this.#metrics.registry);
    const { engine, served } = await startEngine({ flags, env: this.#env, logger, connector: this.#connector, createEngine, signal });
    this.#resources.use(engine);
    await checkTokenizer(served.dir, engine.model.vocabSize);
    this.#engine = engine;
    this.#metrics.observe(engine);
    const { name, contextLength } = engine.model;
    const { totalBlocks } = engine.stats();
    if (flags.maxModelLen !== undefined && flags.maxModelLen > contextLength) {
      throw new WorkerConfigError(
        `User-specified max_model_len (${flags.maxModelLen}) is greater than the derived max_model_len (${contextLength}) of ${name}`,
      );
    }
    const maxModelLen = Math.min(flags.maxModelLen ?? contextLength, totalBlocks * flags.blockSize);
    await this.#publishEvents(engine, this.#discovery);
    const { component, endpoint } = flags;
    const tracing = this.#resources.use(await Tracing.open({ service: `dynamo-${component}`, logger, env: this.#env }));
    const server = this.#resources.use(await TcpRequestServer.listen(tcpOptionsFromEnv(this.#env), logLostCaller(logger)));
    this.#server = server;
    const generate = generateEndpoint({
      engine,
      connector: this.#connector,
      metrics: this.#metrics,
      logger: logger.child('dynamo::vllm::handlers'),
      logRequests: flags.logRequests,
      maxModelLen,
      onStepFailed: (message) => this.#stepFailed(engine, message),
    });
    server.serve(endpoint, tracedEndpoint(generate, { tracing, component, endpoint }));
    const endpoints = {
      [flags.endpoint]: { tcp: server.address },
      ...this.#serveKvEvents(server, engine),
      ...serveAdministration(server, engine, this.#connector),
    };
    const card = modelCard({ engine, served, flags, maxModelLen, eventPlane: this.#plane?.kind ?? 'none' });
    signal?.throwIfAborted();
    await warmUp(engine, signal);
    this.#resources.use(observeEventLoop(this.#metrics.registry)); // from here on: what starting cost is nobody's wait
    await this.#discovery.register({
      namespace: this.#namespace,
      component: flags.component,
      endpoints,
      modelCard: card,
      eventChannels:
        this.#plane === undefined ? {} : { [topics.kvEvents]: this.#plane.channel(topics.kvEvents), [topics.kvMetrics]: this.#plane.channel(topics.kvMetrics) },
    });
    this.#health.phase = 'ready';
    const timeoutMs = stepTimeoutMs(this.#env);
    const onHung = (): void => this.#engineDead(`a step has not finished within ${timeoutMs / 1000} s`);
    this.#resources.use(new StepDeadline({ stats: () => engine.stats(), timeoutMs, onHung }));
    if (canaryEnabled(this.#env)) this.#startCanary(engine, this.#discovery, server.address);
    logger.info(`added model model_name="${card.display_name}"`, { namespace: this.#namespace, component: flags.component, endpoint: flags.endpoint });
    logger.info(`Serving on request plane tcp ${server.address}`, { instance_id: this.#discovery.instanceId, discovery: this.#discovery.backend });
  }

  #startCanary(engine: LlmEngine, discovery: Discovery, address: string): void {
    const { flags, logger } = this.#options;
    const canary = new Canary({
      discovery,
      requests: this.#resources.use(new TcpRequestClient(tcpOptionsFromEnv(this.#env))),
      namespace: this.#namespace,
      component: flags.component,
      endpoint: flags.endpoint,
      address,
      token: engine.model.eosTokenIds[0] ?? 0,
      steps: () => engine.stats().steps,
      onHealth: (healthy) => void (this.#health.endpointHealthy = healthy),
      logger: logger.child('dynamo_runtime::health_check'),
      ...canaryTimes(this.#env),
    });
    this.#resources.use(canary);
  }

  #stepFailed(engine: LlmEngine, message: string): void {
    const { failedStepsInARow } = engine.stats();
    if (failedStepsInARow >= failedStepsUntilDead) this.#engineDead(`${failedStepsInARow} steps failed in a row, the last one: ${message}`);
  }

  #engineDead(message: string): void {
    if (this.#health.phase !== 'ready') return;
    this.#health.phase = 'failed';
    const error = new EngineDeadError(message);
    const { logger } = this.#options;
    logger.error(`EngineDeadError: ${error.message}`);
    this.#discovery?.withdraw().catch((cause: unknown) => logger.warn(`could not leave discovery: ${(cause as Error).message}`));
    this.#failed.resolve(error);
  }

  async #openSystemServer(): Promise<void> {
    const address = systemAddress(this.#env);
    if (address === undefined) return;
    const system = await SystemServer.listen({
      ...address,
      health: () => ({
        ready: this.#health.ready,
        live: this.#health.live,
        status: this.#health.status,
        endpoints: { [this.#options.flags.endpoint]: this.#health.status },
        uptimeSeconds: this.#metrics.uptimeSeconds,
      }),
      metrics: async () => ({ contentType: this.#metrics.contentType, text: (await this.#metrics.text()) + (this.#connector?.metricsText() ?? '') }),
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
      disaggregation: this.#connector?.state(this.#engine.stats().heldBlocks) ?? { mode: flags.mode },
      kv_events:
        this.#plane === undefined ? { enabled: false } : { enabled: true, last_event_id: this.#publisher?.history.lastEventId ?? -1, ...this.#plane.state },
      request_plane: { plane: 'tcp', address: this.#server?.address, in_flight: this.#server?.inFlight },
      discovery: { backend: this.#discovery?.backend },
    };
  }

  async #close(graceMs: number): Promise<void> {
    if (this.#health.phase !== 'failed') this.#health.phase = 'draining';
    const { logger } = this.#options;
    const inFlight = this.#server?.inFlight ?? 0;
    logger.info('Shutting down: no new requests', { in_flight: inFlight });
    await this.#discovery?.withdraw().catch((error: unknown) => logger.warn(`could not leave discovery: ${(error as Error).message}`));
    const drained = (await this.#server?.drain(graceMs)) ?? true;
    if (!drained) logger.warn(`requests still running after ${graceMs} ms are cancelled`, { in_flight: this.#server?.inFlight });
    const read = (await this.#connector?.idle(Math.min(graceMs, kvHandoverMs))) ?? true;
    if (!read) logger.warn('KV blocks that decode workers have not read yet are lost');
    await this.#resources.close();
    this.#health.phase = 'closed';
    logger.info('Worker stopped');
  }
}
