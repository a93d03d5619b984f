import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError, Reflector, type KubeClient, type ResourceType } from '../../kube/index.ts';
import type { Logger } from '../../observability/index.ts';
import { instanceIdOfPod } from '../instanceId.ts';
import { DiscoveryError, type Discovery, type Instance, type InstanceListener } from './discovery.ts';
import { encodeInstance } from './instanceRecord.ts';
import { joinInstances, type DynamoWorkerMetadata, type EndpointSlice } from './joinInstances.ts';
import { Watchers } from './watchers.ts';

const slices: ResourceType = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' };
const metadata: ResourceType = { group: 'nvidia.com', version: 'v1alpha1', plural: 'dynamoworkermetadatas' };

export interface KubernetesDiscoveryOptions {
  client: KubeClient;
  podName: string;
  podNamespace: string;
  podUid: string;
  logger: Logger;
  /** Changes are collected for this long before they are looked at; Dynamo's 500 ms. */
  debounceMs?: number;
  /** How long to try to write the DynamoWorkerMetadata before `register` fails. Default 60 s. */
  registerTimeoutMs?: number;
}

/** Discovery through the API server: EndpointSlices say who is ready, DynamoWorkerMetadata says what it serves. */
export class KubernetesDiscovery implements Discovery {
  readonly backend = 'kubernetes';
  readonly instanceId: bigint;
  readonly #options: KubernetesDiscoveryOptions;
  readonly #watchers = new Watchers();
  readonly #abort = new AbortController();
  readonly #reported = new Set<string>();
  #reflectors: [Reflector<EndpointSlice>, Reflector<DynamoWorkerMetadata>] | undefined;
  #debounce: NodeJS.Timeout | undefined;
  #registered = false;

  constructor(options: KubernetesDiscoveryOptions) {
    this.#options = options;
    this.instanceId = instanceIdOfPod(options.podName);
    const { podName, podNamespace, podUid } = options;
    options.logger.info(
      `Initializing KubeDiscoveryClient: pod_name=${podName}, instance_id=${this.instanceId.toString(16)}, namespace=${podNamespace}, pod_uid=${podUid}`,
    );
  }

  async register(instance: Omit<Instance, 'instanceId' | 'pod'>): Promise<void> {
    const { logger, podName, podNamespace, podUid } = this.#options;
    for (const endpoint of Object.keys(instance.endpoints)) {
      logger.info(
        `Registering endpoint: namespace=${instance.namespace}, component=${instance.component}, endpoint=${endpoint}, instance_id=${this.instanceId.toString(16)}`,
      );
    }
    if (instance.modelCard !== undefined) {
      logger.info(
        `Registering model card: namespace=${instance.namespace}, component=${instance.component}, endpoint=generate, instance_id=${this.instanceId.toString(16)}`,
      );
    }
    const object: DynamoWorkerMetadata = {
      apiVersion: 'nvidia.com/v1alpha1',
      kind: 'DynamoWorkerMetadata',
      metadata: {
        name: podName,
        namespace: podNamespace,
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: podName, uid: podUid, controller: true, blockOwnerDeletion: false }],
      },
      spec: { data: encodeInstance({ ...instance, instanceId: this.instanceId }) },
    };
    await this.#retrying(() => this.#options.client.apply(metadata, object, 'dynamo-worker'));
    this.#registered = true;
  }

  /** The record goes with its pod (owner reference); withdrawing earlier tells frontends before the pod's readiness does. */
  async withdraw(): Promise<void> {
    if (!this.#registered) return;
    this.#registered = false;
    const { client, logger, podName, podNamespace } = this.#options;
    logger.info(`Unregistering endpoint: instance_id=${this.instanceId.toString(16)}`);
    await client.delete(metadata, podName, podNamespace);
  }

  async watch(listener: InstanceListener, query: { namespace?: string } = {}): Promise<Disposable> {
    const { logger } = this.#options;
    this.#reflectors ??= this.#start();
    await Promise.all(this.#reflectors.map((reflector) => reflector.synced));
    this.#join();
    const instances = [...this.#watchers.current.values()].filter(({ namespace }) => query.namespace === undefined || namespace === query.namespace);
    logger.info(`KubeDiscoveryClient::list returning ${instances.length} instances for query=${query.namespace ?? 'AllEndpoints'}`);
    const logged: InstanceListener = {
      added: (instance) => {
        logger.info('Emitting Added event', { instance_id: instance.instanceId.toString(16), pod: instance.pod });
        listener.added(instance);
      },
      removed: (instanceId) => {
        logger.info('Emitting Removed event', { instance_id: instanceId.toString(16) });
        listener.removed(instanceId);
      },
    };
    return this.#watchers.add(logged, query.namespace);
  }

  async close(): Promise<void> {
    if (this.#abort.signal.aborted) return;
    this.#abort.abort(new DiscoveryError('CLOSED', this.backend, 'closed'));
    clearTimeout(this.#debounce);
    this.#watchers.close();
    await Promise.all((this.#reflectors ?? []).map((reflector) => reflector.stop()));
    try {
      await this.withdraw();
    } catch (error) {
      this.#options.logger.warn(`could not withdraw the DynamoWorkerMetadata: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): [Reflector<EndpointSlice>, Reflector<DynamoWorkerMetadata>] {
    const { client, podNamespace, logger } = this.#options;
    logger.info('Discovery daemon starting');
    const onChange = (): void => {
      this.#debounce ??= setTimeout(() => this.#join(), this.#options.debounceMs ?? 500);
    };
    const onError = (error: unknown): void => logger.warn(`discovery (kubernetes): ${(error as Error).message}; trying again`);
    const common = { client, namespace: podNamespace, onChange, onError };
    return [
      new Reflector<EndpointSlice>({ ...common, type: slices, labelSelector: 'nvidia.com/dynamo-discovery-enabled=true' }).start(),
      new Reflector<DynamoWorkerMetadata>({ ...common, type: metadata }).start(),
    ];
  }

  #join(): void {
    clearTimeout(this.#debounce);
    this.#debounce = undefined;
    if (this.#reflectors === undefined) return;
    const { instances, problems } = joinInstances(this.#reflectors[0].store.values(), this.#reflectors[1].store.values());
    const { logger } = this.#options;
    for (const problem of problems) if (!this.#reported.has(problem)) logger.info(problem);
    this.#reported.clear();
    for (const problem of problems) this.#reported.add(problem);
    this.#watchers.update(instances);
  }

  async #retrying(write: () => Promise<unknown>): Promise<void> {
    const until = Date.now() + (this.#options.registerTimeoutMs ?? 60_000);
    for (let backOffMs = 200; ; backOffMs = Math.min(backOffMs * 2, 5_000)) {
      try {
        await write();
        return;
      } catch (error) {
        const final = error instanceof KubeError && [400, 404, 422].includes(error.status);
        if (final || Date.now() + backOffMs > until) {
          const pod = `${this.#options.podNamespace}/${this.#options.podName}`;
          throw new DiscoveryError('REGISTER_FAILED', this.backend, `cannot write DynamoWorkerMetadata ${pod}: ${(error as Error).message}`, { cause: error });
        }
        this.#options.logger.warn(`discovery (kubernetes): ${(error as Error).message}; trying again in ${backOffMs} ms`);
        await sleep(backOffMs, undefined, { signal: this.#abort.signal });
      }
    }
  }
}
