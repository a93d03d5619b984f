import { type KubeClient, type KubeObject } from '../../kube/index.ts';

export const secrets = { group: '', version: 'v1', plural: 'secrets' };
export const configMaps = { group: '', version: 'v1', plural: 'configmaps' };

/** A Secret, ConfigMap or key that a container needs is missing. The message is the kubelet's. */
export class ContainerConfigError extends Error {
  readonly code = 'CONTAINER_CONFIG';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ContainerConfigError';
  }
}

type Kind = 'secret' | 'configmap';

/** The data of Secrets and ConfigMaps of one namespace, each read once. */
export class ConfigSource {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #seen = new Map<string, Promise<Map<string, Buffer> | undefined>>();

  constructor(client: KubeClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  /** All keys, or undefined when the object is missing and `optional`. */
  async data(kind: Kind, name: string, optional = false): Promise<Map<string, Buffer> | undefined> {
    const id = `${kind}/${name}`;
    let found = this.#seen.get(id);
    if (found === undefined) this.#seen.set(id, (found = this.#read(kind, name)));
    const data = await found;
    if (data === undefined && !optional) throw new ContainerConfigError(`${kind} "${name}" not found`);
    return data;
  }

  /** One key, or undefined when it or its object is missing and `optional`. */
  async key(kind: Kind, name: string, key: string, optional = false): Promise<Buffer | undefined> {
    const value = (await this.data(kind, name, optional))?.get(key);
    if (value === undefined && !optional) {
      throw new ContainerConfigError(`couldn't find key ${key} in ${kind === 'secret' ? 'Secret' : 'ConfigMap'} ${this.#namespace}/${name}`);
    }
    return value;
  }

  async #read(kind: Kind, name: string): Promise<Map<string, Buffer> | undefined> {
    const type = kind === 'secret' ? secrets : configMaps;
    const object = await this.#client.find<KubeObject & { data?: Record<string, string>; binaryData?: Record<string, string> }>(type, name, this.#namespace);
    if (object === undefined) return undefined;
    const encoding = kind === 'secret' ? 'base64' : 'utf8';
    return new Map([
      ...Object.entries(object.data ?? {}).map(([key, value]): [string, Buffer] => [key, Buffer.from(value, encoding)]),
      ...Object.entries(object.binaryData ?? {}).map(([key, value]): [string, Buffer] => [key, Buffer.from(value, 'base64')]),
    ]);
  }
}
