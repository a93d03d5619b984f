import { Reflector, type KubeClient, type KubeObject } from '../../kube/index.ts';
import type { Deployment } from '../graphTypes.ts';
import { label, resourceType } from '../names.ts';

export interface ChildStoresOptions {
  client: KubeClient;
  namespace?: string;
  /** A child appeared, changed or went; `owner` is the object that controls it. */
  onChange: (owner: { kind: string; key: string }) => void;
  onError: (what: string, error: unknown) => void;
}

/** Local copies of everything the operator makes, found by the label that names the graph. */
export class ChildStores {
  readonly deployments: Reflector<Deployment>;
  readonly services: Reflector<KubeObject>;
  readonly ingresses: Reflector<KubeObject>;
  readonly serviceAccounts: Reflector<KubeObject>;
  readonly roles: Reflector<KubeObject>;
  readonly roleBindings: Reflector<KubeObject>;

  constructor(options: ChildStoresOptions) {
    const watch = <T extends KubeObject>(what: Exclude<keyof typeof resourceType, 'event' | 'lease' | 'claim'>): Reflector<T> =>
      new Reflector<T>({
        client: options.client,
        type: resourceType[what],
        ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
        labelSelector: label.graph,
        onChange: (_key, current, previous) => {
          const object = current ?? previous;
          const owner = object?.metadata.ownerReferences?.find((reference) => reference.controller === true);
          if (owner !== undefined) options.onChange({ kind: owner.kind, key: `${object?.metadata.namespace ?? ''}/${owner.name}` });
        },
        onError: (error) => options.onError(what, error),
      });
    this.deployments = watch<Deployment>('deployment');
    this.services = watch('service');
    this.ingresses = watch('ingress');
    this.serviceAccounts = watch('serviceAccount');
    this.roles = watch('role');
    this.roleBindings = watch('roleBinding');
  }

  get #all(): { start(): unknown; stop(): Promise<void>; synced: Promise<void> }[] {
    return [this.deployments, this.services, this.ingresses, this.serviceAccounts, this.roles, this.roleBindings];
  }

  start(): void {
    for (const store of this.#all) store.start();
  }

  /** Resolves when every first list is in. */
  async synced(): Promise<void> {
    await Promise.all(this.#all.map((store) => store.synced));
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map((store) => store.stop()));
  }
}
