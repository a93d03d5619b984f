import https from 'node:https';
import http from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { KubeConfig, KubernetesObjectApi, PatchStrategy, type KubernetesObject } from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';
import { ClusterError } from './clusterError.ts';

/** A Kubernetes object as the API server sent it. Checks read the fields they need through optional chaining. */
export interface K8sObject extends KubernetesObject {
  // oxlint-disable-next-line typescript/no-explicit-any -- shapes of arbitrary kinds, custom resources among them
  [field: string]: any;
}

export interface RawRequest {
  method?: string;
  body?: string;
  headers?: Record<string, string>;
  /** Milliseconds without a byte; default 30 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface RawResponse {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** What checks may look at: objects, logs, and HTTP through the API server's proxy. The same on every cluster. */
export class ClusterView {
  readonly #config: KubeConfig;
  readonly #objects: KubernetesObjectApi;

  constructor(config: KubeConfig) {
    this.#config = config;
    this.#objects = KubernetesObjectApi.makeApiClient(config);
  }

  static fromKubeconfig(file: string): ClusterView {
    const config = new KubeConfig();
    config.loadFromFile(file);
    return new ClusterView(config);
  }

  /** `undefined` when there is no such object. */
  async get(apiVersion: string, kind: string, name: string, namespace?: string): Promise<K8sObject | undefined> {
    try {
      return await this.#objects.read<K8sObject>({ apiVersion, kind, metadata: { name, ...(namespace !== undefined && { namespace }) } });
    } catch (error) {
      if (statusOf(error) === 404 || isUnknownKind(error)) return undefined;
      throw clusterError(error, `reading ${kind} ${name}`);
    }
  }

  /** An unknown kind (its CRD is not installed) is an empty list. */
  async list(apiVersion: string, kind: string, options: { namespace?: string; labelSelector?: string } = {}): Promise<K8sObject[]> {
    try {
      const list = await this.#objects.list<K8sObject>(apiVersion, kind, options.namespace, undefined, undefined, undefined, undefined, options.labelSelector);
      return list.items;
    } catch (error) {
      if (statusOf(error) === 404 || isUnknownKind(error)) return [];
      throw clusterError(error, `listing ${kind}`);
    }
  }

  /** Server-side apply of every document of a YAML text (or of objects). Resolves with what the server stored. */
  async apply(manifests: string | K8sObject[], fieldManager = 'dynamo-labs'): Promise<K8sObject[]> {
    const objects = typeof manifests === 'string' ? parseAllDocuments(manifests).map((doc) => doc.toJS() as K8sObject | null) : manifests;
    const stored: K8sObject[] = [];
    for (const object of objects) {
      if (object === null) continue;
      try {
        stored.push(await this.#objects.patch<K8sObject>(object, undefined, undefined, fieldManager, true, PatchStrategy.ServerSideApply));
      } catch (error) {
        throw clusterError(error, `applying ${object.kind} ${object.metadata?.name}`);
      }
    }
    return stored;
  }

  async mergePatch(object: K8sObject): Promise<K8sObject> {
    try {
      return await this.#objects.patch<K8sObject>(object, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch);
    } catch (error) {
      throw clusterError(error, `patching ${object.kind} ${object.metadata?.name}`);
    }
  }

  /** Deletes and waits until the object is gone. An object that does not exist is a success. */
  async delete(apiVersion: string, kind: string, name: string, namespace: string | undefined, signal: AbortSignal): Promise<void> {
    try {
      await this.#objects.delete(
        { apiVersion, kind, metadata: { name, ...(namespace !== undefined && { namespace }) } },
        undefined,
        undefined,
        undefined,
        undefined,
        'Background',
      );
    } catch (error) {
      if (statusOf(error) === 404 || isUnknownKind(error)) return;
      throw clusterError(error, `deleting ${kind} ${name}`);
    }
    await this.until(`${kind} ${name} is gone`, async () => (await this.get(apiVersion, kind, name, namespace)) === undefined, signal);
  }

  /** Asks every 200 ms until `condition` holds; the signal is the deadline. */
  async until(what: string, condition: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    while (!(await condition())) {
      if (signal.aborted) throw new ClusterError(`gave up waiting: ${what}`, 0, { cause: signal.reason });
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, 200);
        signal.addEventListener('abort', done);
      });
    }
  }

  /** HTTP to a pod's port through the API server: `pods/{name}:{port}/proxy`. Works on every cluster, without a route to the pod network. */
  pod(namespace: string, name: string, port: number, path: string, request: RawRequest = {}): Promise<RawResponse> {
    return this.raw(`/api/v1/namespaces/${namespace}/pods/${name}:${port}/proxy${path}`, request);
  }

  service(namespace: string, name: string, port: number | string, path: string, request: RawRequest = {}): Promise<RawResponse> {
    return this.raw(`/api/v1/namespaces/${namespace}/services/${name}:${port}/proxy${path}`, request);
  }

  async logs(namespace: string, pod: string, options: { container?: string; tailLines?: number; previous?: boolean } = {}): Promise<string> {
    const query = new URLSearchParams(Object.entries(options).map(([name, value]): [string, string] => [name, String(value)]));
    const answer = await this.raw(`/api/v1/namespaces/${namespace}/pods/${pod}/log?${query}`);
    if (answer.status !== 200) throw new ClusterError(`logs of ${namespace}/${pod}: ${answer.body.slice(0, 300)}`, answer.status);
    return answer.body;
  }

  /** A request to the API server with the kubeconfig's credentials; every HTTP status resolves, only silence rejects. */
  async raw(path: string, request: RawRequest = {}): Promise<RawResponse> {
    const response = await this.stream(path, request);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response) chunks.push(chunk as Buffer);
    } catch (cause) {
      throw new ClusterError(`${path}: the answer broke off`, 0, { cause });
    }
    return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString('utf8') };
  }

  /** Like `raw`, with the body still to be read: for server-sent events. */
  async stream(path: string, request: RawRequest = {}): Promise<IncomingMessage> {
    const cluster = this.#config.getCurrentCluster();
    if (cluster === null) throw new ClusterError('the kubeconfig has no current cluster', 0);
    const url = new URL(cluster.server.replace(/\/$/, '') + path);
    const options: https.RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const transport = url.protocol === 'http:' ? http : https;
    return new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = transport.request(
        url,
        {
          ...options,
          method: request.method ?? 'GET',
          timeout: request.timeoutMs ?? 30_000,
          ...(request.signal && { signal: request.signal }),
          headers: {
            ...(options.headers as Record<string, string> | undefined),
            ...request.headers,
            ...(request.body !== undefined && { 'content-length': String(Buffer.byteLength(request.body)) }),
          },
        },
        resolve,
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error('no data in time')));
      outgoing.on('error', (cause) => reject(new ClusterError(`${request.method ?? 'GET'} ${path.split('?')[0]}: ${cause.message}`, 0, { cause })));
      outgoing.end(request.body);
    });
  }
}

function statusOf(error: unknown): number {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'number' ? code : 0;
}

/** KubernetesObjectApi says it in words when the server serves the group but not the kind; an unserved group is a 404. */
function isUnknownKind(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Unrecognized API version and kind');
}

function clusterError(error: unknown, doing: string): ClusterError {
  const status = statusOf(error);
  const body = (error as { body?: unknown }).body;
  let detail = error instanceof Error ? error.message : String(error);
  if (typeof body === 'string') {
    try {
      detail = (JSON.parse(body) as { message?: string }).message ?? detail;
    } catch {
      detail = body.slice(0, 300);
    }
  }
  return new ClusterError(`${doing}: ${detail}`, status, { cause: error });
}
