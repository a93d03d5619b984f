import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { KubeClient, KubeObject } from '../kube/index.ts';

/** Server-side apply of every manifest in a folder, in the order of their names; an absent or empty folder is nothing to do. */
export async function applyManifests(kubectl: string, kubeconfig: string, dir: string, signal: AbortSignal): Promise<void> {
  if (!existsSync(dir) || !readdirSync(dir).some((name) => name.endsWith('.yaml'))) return;
  const args = ['apply', '--kubeconfig', kubeconfig, '--server-side', '--force-conflicts', '--field-manager=dynamo-labs', '-f', dir];
  await promisify(execFile)(kubectl, args, { signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]) });
}

/** Like `applyManifests`, for CustomResourceDefinitions; resolves when the API server serves them. */
export async function applyCustomResources(kubectl: string, kubeconfig: string, dir: string, signal: AbortSignal): Promise<void> {
  await applyManifests(kubectl, kubeconfig, dir, signal);
  await promisify(execFile)(kubectl, ['wait', '--kubeconfig', kubeconfig, '--for=condition=Established', '--timeout=60s', '-f', dir], { signal });
}

/** Resolves when `count` nodes are Ready, with a line for the person. */
export async function waitForNodes(kube: KubeClient, count: number, signal: AbortSignal): Promise<string> {
  const type = { group: '', version: 'v1', plural: 'nodes' };
  const deadline = withDeadline(signal, 60_000, `${count} Ready node(s)`);
  for (;;) {
    const nodes = await kube.list<KubeNode>(type, { signal: deadline });
    const ready = nodes.items.filter((node) => node.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True'));
    if (ready.length >= count) return `${ready.length} ready, pod network: ${ready[0]?.metadata.labels?.['dynamo-labs.dev/podnet'] ?? 'unknown'}`;
    await sleep(100, undefined, { signal: deadline });
  }
}

/**
 * Resolves when a pod of the Deployment runs that was started after `since`, and is Ready; at once when there is no such
 * Deployment. The Deployment's own status may still tell of an earlier run of this stack.
 */
export async function waitForDeployment(
  kube: KubeClient,
  options: { namespace: string; name: string; since: Date; signal: AbortSignal },
): Promise<string | undefined> {
  const { namespace, name } = options;
  const deadline = withDeadline(options.signal, 90_000, `Deployment ${namespace}/${name}; see: kubectl -n ${namespace} describe pods`);
  const deployment = await kube.find<KubeDeployment>({ group: 'apps', version: 'v1', plural: 'deployments' }, name, namespace, deadline);
  if (deployment === undefined) return undefined;
  const labelSelector = Object.entries(deployment.spec.selector.matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  // Kubernetes' times have whole seconds.
  const earliest = Math.floor(options.since.getTime() / 1000) * 1000;
  for (;;) {
    const pods = await kube.list<KubePod>({ group: '', version: 'v1', plural: 'pods' }, { namespace, labelSelector, signal: deadline });
    const ready = pods.items.some(
      ({ status }) =>
        status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true &&
        status.containerStatuses?.some(({ state }) => Date.parse(state?.running?.startedAt ?? '') >= earliest) === true,
    );
    if (ready) return 'ready';
    await sleep(100, undefined, { signal: deadline });
  }
}

interface KubeNode extends KubeObject {
  status?: { conditions?: { type: string; status: string }[] };
}

interface KubeDeployment extends KubeObject {
  spec: { selector: { matchLabels: Record<string, string> } };
}

interface KubePod extends KubeObject {
  status?: { conditions?: { type: string; status: string }[]; containerStatuses?: { state?: { running?: { startedAt: string } } }[] };
}

function withDeadline(signal: AbortSignal, ms: number, what: string): AbortSignal {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error(`waited ${ms / 1000} s for ${what}`)), ms);
  timer.unref();
  return AbortSignal.any([signal, abort.signal]);
}
