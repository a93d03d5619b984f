import { Reflector, type KubeClient } from '../../kube/index.ts';
import type { Logger } from '../../observability/index.ts';
import type { DynamoComponentDeployment, DynamoGraphDeployment } from '../graphTypes.ts';
import { resourceType } from '../names.ts';
import type { OperatorOptions } from '../operatorOptions.ts';
import { ChildStores } from './childStores.ts';
import { EventRecorder } from './eventRecorder.ts';
import type { OperatorMetrics } from './operatorMetrics.ts';
import { reconcileComponent } from './reconcileComponent.ts';
import { reconcileGraph } from './reconcileGraph.ts';
import { WorkQueue } from './workQueue.ts';

export interface OperatorSettings {
  client: KubeClient;
  logger: Logger;
  metrics: OperatorMetrics;
  options: OperatorOptions;
  /** Watches one namespace only. */
  namespace?: string;
  /** Every object is looked at again this often, in milliseconds; default 10 minutes. */
  resyncMs?: number;
}

/** What a person can change in a graph; the status is ours. */
function askedFor(graph: DynamoGraphDeployment | undefined): string {
  return JSON.stringify([graph?.metadata.uid, graph?.metadata.generation, graph?.metadata.annotations]);
}

/** The two controllers. They watch from `start`, and act from `lead` on: only the holder of the lease leads. */
export class Operator {
  readonly #settings: OperatorSettings;
  readonly #graphs: Reflector<DynamoGraphDeployment>;
  readonly #components: Reflector<DynamoComponentDeployment>;
  readonly #children: ChildStores;
  readonly #events: EventRecorder;
  readonly #graphQueue: WorkQueue;
  readonly #componentQueue: WorkQueue;
  #resync: NodeJS.Timeout | undefined;
  #synced = false;

  constructor(settings: OperatorSettings) {
    this.#settings = settings;
    const { client, logger, metrics, options, namespace } = settings;
    const scope = namespace === undefined ? {} : { namespace };
    const onWatchError = (what: string, error: unknown): void => logger.warn('watch failed, trying again', { what, error: String(error) });
    this.#events = new EventRecorder(client, (error) => logger.warn('an event could not be written', { error: String(error) }));
    this.#graphs = new Reflector<DynamoGraphDeployment>({
      client,
      type: resourceType.graph,
      ...scope,
      onChange: (key, current, previous) => {
        if (current === undefined) logger.info('DynamoGraphDeployment deleted', { key });
        if (askedFor(current) !== askedFor(previous)) this.#graphQueue.add(key);
      },
      onError: (error) => onWatchError('dynamographdeployments', error),
    });
    this.#components = new Reflector<DynamoComponentDeployment>({
      client,
      type: resourceType.component,
      ...scope,
      onChange: (key, current, previous) => {
        this.#componentQueue.add(key);
        const object = current ?? previous;
        const owner = object?.metadata.ownerReferences?.find((reference) => reference.kind === 'DynamoGraphDeployment');
        if (owner !== undefined) this.#graphQueue.add(`${object?.metadata.namespace ?? ''}/${owner.name}`);
      },
      onError: (error) => onWatchError('dynamocomponentdeployments', error),
    });
    this.#children = new ChildStores({
      client,
      ...scope,
      onChange: ({ kind, key }) => {
        if (kind === 'DynamoGraphDeployment') this.#graphQueue.add(key);
        else if (kind === 'DynamoComponentDeployment') this.#componentQueue.add(key);
      },
      onError: onWatchError,
    });
    const shared = { client, components: this.#components, children: this.#children, events: this.#events, options };
    const queue = (name: string, reconcile: (key: string) => Promise<void>): WorkQueue =>
      new WorkQueue({
        name,
        metrics,
        reconcile,
        onError: (key, error, retryMs) => logger.error('Reconciler error', { controller: name, key, error: String(error), retryMs }),
      });
    this.#graphQueue = queue('dynamographdeployment', (key) => reconcileGraph({ ...shared, graphs: this.#graphs }, key));
    this.#componentQueue = queue('dynamocomponentdeployment', (key) => reconcileComponent(shared, key));
  }

  /** True when every watch has its first list. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Starts watching; resolves when all caches are filled. */
  async start(): Promise<void> {
    this.#graphs.start();
    this.#components.start();
    this.#children.start();
    await Promise.all([this.#graphs.synced, this.#components.synced, this.#children.synced()]);
    this.#synced = true;
  }

  /** Starts acting. */
  lead(): void {
    const { logger, resyncMs = 600_000 } = this.#settings;
    logger.info('Starting workers', { graphs: this.#graphs.store.size, components: this.#components.store.size });
    this.#graphQueue.start();
    this.#componentQueue.start();
    this.#resync ??= setInterval(() => {
      for (const key of this.#graphs.store.keys()) this.#graphQueue.add(key);
      for (const key of this.#components.store.keys()) this.#componentQueue.add(key);
    }, resyncMs).unref();
  }

  /** Ends all work; resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    clearInterval(this.#resync);
    await Promise.all([this.#graphQueue.stop(), this.#componentQueue.stop()]);
    await Promise.all([this.#graphs.stop(), this.#components.stop(), this.#children.stop()]);
    await this.#events.flush();
  }
}
