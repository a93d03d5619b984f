import type { ModelDeploymentCard } from '../../protocol/index.ts';

/** One worker process as others see it. */
export interface Instance {
  instanceId: bigint;
  /** The pod that runs it; absent outside Kubernetes. */
  pod?: string;
  /** Dynamo's namespace (`DYN_NAMESPACE`), not the Kubernetes one. */
  namespace: string;
  /** `backend`, `prefill`, … */
  component: string;
  /** Endpoint name (`generate`) → where it is served. */
  endpoints: Record<string, Transport>;
  modelCard?: ModelDeploymentCard;
  /** Topic (`kv-events`) → where it is published. */
  eventChannels: Record<string, EventChannel>;
}

/** An address on the request plane: `{tcp: '10.244.1.7:38213'}`. */
export type Transport = Partial<Record<'tcp' | 'nats_tcp', string>>;

/** `Zmq`: the publisher's own address. `Nats`: the subject prefix on the shared server. */
export type EventChannel = { kind: 'Zmq'; endpoint: string } | { kind: 'Nats'; subjectPrefix: string };

export interface InstanceListener {
  /** A new instance, or one whose record changed. */
  added(instance: Instance): void;
  removed(instanceId: bigint): void;
}

/** Who serves what. A registration lives until it is withdrawn, the discovery is closed, or its lease or pod ends. */
export interface Discovery extends AsyncDisposable {
  readonly backend: 'kubernetes' | 'file' | 'mem';
  /** The id under which this process registers. */
  readonly instanceId: bigint;
  /** Makes the instance visible to all watchers; a second call replaces the record. */
  register(instance: Omit<Instance, 'instanceId' | 'pod'>): Promise<void>;
  withdraw(): Promise<void>;
  /**
   * Reports the instances that exist, then every change, in order. With `namespace`, only those of that Dynamo namespace.
   * Resolves when the first look is complete.
   */
  watch(listener: InstanceListener, query?: { namespace?: string }): Promise<Disposable>;
  /** Closes watches and withdraws the registration. */
  close(): Promise<void>;
}

/** The discovery backend could not be used. `backend` says which, so that it is never mistaken for another plane. */
export class DiscoveryError extends Error {
  readonly code: string;
  readonly backend: string;
  constructor(code: string, backend: string, message: string, options?: ErrorOptions) {
    super(`discovery (${backend}): ${message}`, options);
    this.name = 'DiscoveryError';
    this.code = code;
    this.backend = backend;
  }
}
