import https from 'node:https';
import type { IncomingMessage } from 'node:http';
import { KubeError } from './kubeError.ts';
import type { KubeCredentials } from './kubeCredentials.ts';
import { collectionPath, type KubeList, type KubeObject, type ResourceType } from './kubeObject.ts';

export type PatchType =
  | 'application/merge-patch+json'
  | 'application/json-patch+json'
  | 'application/strategic-merge-patch+json'
  | 'application/apply-patch+yaml';

export interface KubeRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  contentType?: string;
  accept?: string;
  signal?: AbortSignal;
  /** Milliseconds without any byte before the request fails; default 30 000. */
  timeoutMs?: number;
}

/** A thin JSON client of the Kubernetes API: unknown fields survive, patch types are explicit, every call has a deadline. */
export class KubeClient {
  readonly credentials: KubeCredentials;
  readonly #agent: https.Agent;

  constructor(credentials: KubeCredentials) {
    this.credentials = credentials;
    this.#agent = new https.Agent({
      keepAlive: true,
      maxSockets: 64,
      ca: credentials.ca,
      cert: credentials.cert,
      key: credentials.key,
      rejectUnauthorized: credentials.insecureSkipTlsVerify !== true,
    });
  }

  /** Sends a request and resolves with the raw response; non-2xx becomes a `KubeError` with the server's own message. */
  async stream(request: KubeRequest): Promise<IncomingMessage> {
    const url = new URL(this.credentials.server + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const token = this.credentials.token?.();
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = https.request(
        url,
        {
          method: request.method ?? 'GET',
          agent: this.#agent,
          timeout: request.timeoutMs ?? 30_000,
          ...(request.signal === undefined ? {} : { signal: request.signal }),
          headers: {
            accept: request.accept ?? 'application/json',
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(body === undefined ? {} : { 'content-type': request.contentType ?? 'application/json', 'content-length': body.length }),
          },
        },
        resolve,
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error(`no data from ${url.host} for ${request.timeoutMs ?? 30_000} ms`)));
      outgoing.on('error', (cause) => {
        if (request.signal?.aborted === true) reject(request.signal.reason as Error);
        else reject(new KubeError(`${request.method ?? 'GET'} ${url.pathname}: ${cause.message}`, 0, 'Unreachable', { cause }));
      });
      outgoing.end(body);
    });
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    const text = await readAll(response);
    let message = text.trim();
    let reason = '';
    try {
      const parsed = JSON.parse(text) as { message?: string; reason?: string };
      message = parsed.message ?? message;
      reason = parsed.reason ?? '';
    } catch {
      // A proxy or an overloaded server may answer in plain text: the text is the message.
    }
    throw new KubeError(message === '' ? `${request.method ?? 'GET'} ${url.pathname}: HTTP ${status}` : message, status, reason);
  }

  async json<T>(request: KubeRequest): Promise<T> {
    return JSON.parse(await readAll(await this.stream(request))) as T;
  }

  async text(request: KubeRequest): Promise<string> {
    return readAll(await this.stream(request));
  }

  get<T extends KubeObject>(type: ResourceType, name: string, namespace?: string, signal?: AbortSignal): Promise<T> {
    return this.json<T>({ path: `${collectionPath(type, namespace)}/${name}`, ...(signal && { signal }) });
  }

  /** Like `get`, but `undefined` for 404. */
  async find<T extends KubeObject>(type: ResourceType, name: string, namespace?: string, signal?: AbortSignal): Promise<T | undefined> {
    return this.get<T>(type, name, namespace, signal).catch((error: unknown) => {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    });
  }

  list<T extends KubeObject>(
    type: ResourceType,
    options: { namespace?: string; labelSelector?: string; fieldSelector?: string; signal?: AbortSignal } = {},
  ): Promise<KubeList<T>> {
    const { namespace, signal, ...query } = options;
    return this.json<KubeList<T>>({ path: collectionPath(type, namespace), query, ...(signal && { signal }) });
  }

  create<T extends KubeObject>(type: ResourceType, object: KubeObject, namespace = object.metadata.namespace): Promise<T> {
    return this.json<T>({ method: 'POST', path: collectionPath(type, namespace), body: object });
  }

  patch<T extends KubeObject>(
    type: ResourceType,
    name: string,
    namespace: string | undefined,
    body: unknown,
    options: { type?: PatchType; subresource?: string; query?: Record<string, string | boolean> } = {},
  ): Promise<T> {
    const suffix = options.subresource === undefined ? '' : `/${options.subresource}`;
    return this.json<T>({
      method: 'PATCH',
      path: `${collectionPath(type, namespace)}/${name}${suffix}`,
      body,
      contentType: options.type ?? 'application/merge-patch+json',
      ...(options.query && { query: options.query }),
    });
  }

  /** Server-side apply: creates the object or takes over the fields in it. */
  apply<T extends KubeObject>(type: ResourceType, object: KubeObject, fieldManager: string): Promise<T> {
    return this.patch<T>(type, object.metadata.name, object.metadata.namespace, object, {
      type: 'application/apply-patch+yaml',
      query: { fieldManager, force: true },
    });
  }

  /** Deletes; an object that is already gone is a success. */
  async delete(type: ResourceType, name: string, namespace?: string, options: Record<string, unknown> = {}): Promise<void> {
    await this.json({
      method: 'DELETE',
      path: `${collectionPath(type, namespace)}/${name}`,
      body: { apiVersion: 'v1', kind: 'DeleteOptions', ...options },
    }).catch((error: unknown) => {
      if (!(error instanceof KubeError && error.status === 404)) throw error;
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
