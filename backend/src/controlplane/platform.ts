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

/** Resolves when a Deployment is available; at once when there is none of that name. */
export async function waitForDeployment(kube: KubeClient, namespace: string, name: string, signal: AbortSignal): Promise<string | undefined> {
  const type = { group: 'apps', version: 'v1', plural: 'deployments' };
  const deadline = withDeadline(signal, 90_000, `Deployment ${namespace}/${name} to be available; see kubectl -n ${namespace} describe pods`);
  for (;;) {
    const deployment = await kube.find<KubeDeployment>(type, name, namespace, deadline);
    if (deployment === undefined) return undefined;
    // After a restart of the stack the status may still tell of the last run: `observedGeneration` does not help, pods' readiness does.
    if ((deployment.status?.availableReplicas ?? 0) > 0) return 'available';
    await sleep(150, undefined, { signal: deadline });
  }
}

interface KubeNode extends KubeObject {
  status?: { conditions?: { type: string; status: string }[] };
}

interface KubeDeployment extends KubeObject {
  status?: { availableReplicas?: number };
}

function withDeadline(signal: AbortSignal, ms: number, what: string): AbortSignal {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error(`waited ${ms / 1000} s for ${what}`)), ms);
  timer.unref();
  return AbortSignal.any([signal, abort.signal]);
}
