import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';

/** How to reach an API server: mTLS (client certificate) or a bearer token, and the CA to trust. */
export interface KubeCredentials {
  /** `https://host:port`, without a trailing slash. */
  server: string;
  ca?: string;
  cert?: string;
  key?: string;
  /** Read again for every request: projected ServiceAccount tokens rotate. */
  token?: () => string;
  insecureSkipTlsVerify?: boolean;
}

export class KubeconfigError extends Error {
  readonly code = 'KUBECONFIG_INVALID';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KubeconfigError';
  }
}

interface NamedEntry {
  name: string;
  [field: string]: unknown;
}

function entry(list: unknown, name: string, what: string, file: string): Record<string, string | boolean> {
  const found = Array.isArray(list) ? (list as NamedEntry[]).find((item) => item.name === name) : undefined;
  if (found === undefined) throw new KubeconfigError(`${file}: no ${what} named "${name}"`);
  return found[what] as Record<string, string | boolean>;
}

function pem(values: Record<string, string | boolean>, field: string, dir: string): string | undefined {
  const inline = values[`${field}-data`];
  if (typeof inline === 'string') return Buffer.from(inline, 'base64').toString('utf8');
  const file = values[field];
  return typeof file === 'string' ? readFileSync(path.resolve(dir, file), 'utf8') : undefined;
}

/** Reads one context (default: the current one) of a kubeconfig file. Exec plug-ins are refused by name. */
export function credentialsFromKubeconfig(file: string, contextName?: string): KubeCredentials {
  const config = parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const name = contextName ?? config['current-context'];
  if (typeof name !== 'string' || name === '') throw new KubeconfigError(`${file}: no current-context`);
  const context = entry(config['contexts'], name, 'context', file);
  const cluster = entry(config['clusters'], String(context['cluster']), 'cluster', file);
  const user = entry(config['users'], String(context['user']), 'user', file);
  if (user['exec'] !== undefined) throw new KubeconfigError(`${file}: user "${String(context['user'])}" uses an exec plug-in, which is not supported here`);
  const dir = path.dirname(file);
  const ca = pem(cluster, 'certificate-authority', dir);
  const cert = pem(user, 'client-certificate', dir);
  const key = pem(user, 'client-key', dir);
  const token = user['token'];
  return {
    server: String(cluster['server']).replace(/\/$/, ''),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(typeof token === 'string' ? { token: () => token } : {}),
    ...(cluster['insecure-skip-tls-verify'] === true ? { insecureSkipTlsVerify: true } : {}),
  };
}

const serviceAccountDir = '/var/run/secrets/kubernetes.io/serviceaccount';

/** In-cluster credentials of a pod. `DYNAMO_LABS_SERVICEACCOUNT_DIR` replaces the mount where pods share the host's file view. */
export function credentialsFromServiceAccount(env: NodeJS.ProcessEnv = process.env): KubeCredentials {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || port === undefined) throw new KubeconfigError('not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are unset');
  const dir = env['DYNAMO_LABS_SERVICEACCOUNT_DIR'] ?? serviceAccountDir;
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: readFileSync(path.join(dir, 'ca.crt'), 'utf8'),
    token: () => readFileSync(path.join(dir, 'token'), 'utf8').trim(),
  };
}

/** In a pod: its ServiceAccount. Elsewhere: `KUBECONFIG` (first entry), else `~/.kube/config`. */
export function defaultCredentials(env: NodeJS.ProcessEnv = process.env): KubeCredentials {
  if (env['KUBERNETES_SERVICE_HOST'] !== undefined && env['KUBECONFIG'] === undefined) return credentialsFromServiceAccount(env);
  const file = env['KUBECONFIG']?.split(path.delimiter)[0] ?? path.join(homedir(), '.kube', 'config');
  return credentialsFromKubeconfig(file);
}
