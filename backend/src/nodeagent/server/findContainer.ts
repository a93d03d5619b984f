import type { ContainerRunner } from '../pods/containerRunner.ts';
import type { PodManager } from '../pods/podManager.ts';
import type { PodWorker } from '../pods/podWorker.ts';
import { HttpError } from './httpError.ts';

/** The pod and container that a request names; 404 in the kubelet's words. */
export function findContainer(
  manager: PodManager,
  wanted: { namespace: string; pod: string; container: string; uid?: string },
): { worker: PodWorker; runner: ContainerRunner } {
  const worker = manager.find(wanted.namespace, wanted.pod, wanted.uid);
  if (worker === undefined) throw new HttpError(404, `pod "${wanted.pod}" does not exist`);
  const runner = worker.runner(wanted.container);
  if (runner === undefined) throw new HttpError(404, `container "${wanted.container}" not found in pod "${wanted.pod}"`);
  return { worker, runner };
}
