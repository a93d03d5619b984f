import { backOffUntil } from './backOff.ts';
import type { PodSpec } from './pod.ts';
import type { ContainerState, PodState } from './podState.ts';

export type PodAction =
  /** Set up volumes and the network sandbox. */
  | { do: 'setUp' }
  | { do: 'start'; container: string }
  /** End a run. `message` is the text of the Killing event where it is not "Stopping container …". */
  | { do: 'kill'; container: string; why: 'pod' | 'liveness' | 'startup'; message?: string }
  /** The node decides that the pod has failed. */
  | { do: 'end'; reason: string; message: string }
  /** Everything has ended: give back sandbox and volumes. */
  | { do: 'tearDown' }
  /** Torn down and marked for deletion: remove the API object. */
  | { do: 'remove' };

export interface PodPlan {
  actions: PodAction[];
  /** Unix ms at which the plan has to be made again even if nothing happens. */
  wakeAt?: number;
}

/** Whether the pod has reached its end: nothing will be started any more. */
export type PodOutcome = 'Succeeded' | 'Failed';

function alive(container: ContainerState): boolean {
  return container.now.is === 'running' || container.now.is === 'starting';
}

/** Kubelet's ShouldContainerBeRestarted: would a container that ended like this run again? */
export function wouldRestart(container: ContainerState, spec: PodSpec): boolean {
  if (container.now.is !== 'terminated') return true;
  if (container.kind === 'sidecar') return true;
  const failed = container.now.exitCode !== 0;
  if (container.kind === 'init') return failed && spec.restartPolicy !== 'Never';
  return spec.restartPolicy === 'OnFailure' ? failed : spec.restartPolicy !== 'Never';
}

/** How the pod ended, or undefined while it has something to run. */
export function podOutcome(state: PodState, spec: PodSpec): PodOutcome | undefined {
  if (state.ended !== undefined) return 'Failed';
  const failedInit = state.containers.some(
    (item) => item.kind === 'init' && item.now.is === 'terminated' && item.now.exitCode !== 0 && !wouldRestart(item, spec),
  );
  if (failedInit) return 'Failed';
  const mains = state.containers.filter((item) => item.kind === 'main');
  if (!mains.every((item) => item.now.is === 'terminated' && !wouldRestart(item, spec))) return undefined;
  return mains.every((item) => item.now.is === 'terminated' && item.now.exitCode === 0) ? 'Succeeded' : 'Failed';
}

/** What to do next for a pod. Pure: the same state, time and wish give the same plan. */
export function planPod(state: PodState, spec: PodSpec, now: number, wish: { deleting: boolean }): PodPlan {
  if (wish.deleting || podOutcome(state, spec) !== undefined) return planEnd(state, wish.deleting);
  const deadline = spec.activeDeadlineSeconds === undefined ? Infinity : state.startTime + spec.activeDeadlineSeconds * 1000;
  if (now >= deadline)
    return { actions: [{ do: 'end', reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' }] };
  const plan = planRun(state, spec, now);
  return deadline === Infinity ? plan : { ...plan, wakeAt: Math.min(plan.wakeAt ?? Infinity, deadline) };
}

function planRun(state: PodState, spec: PodSpec, now: number): PodPlan {
  if (state.sandbox !== 'ready') {
    const retryAt = state.setup?.retryAt ?? 0;
    return retryAt > now ? { actions: [], wakeAt: retryAt } : { actions: [{ do: 'setUp' }] };
  }
  const plan: PodPlan = { actions: [] };
  const { initialised } = state;
  for (const container of state.containers) {
    if (container.kind === 'init' && initialised) continue;
    planContainer(container, spec, now, plan);
    if (container.kind !== 'main' && !initialised && !passed(container)) break;
  }
  return plan;
}

/** Whether the containers after this init container may start. */
function passed(container: ContainerState): boolean {
  if (container.kind === 'sidecar') return container.now.is === 'running' && container.started;
  return container.now.is === 'terminated' && container.now.exitCode === 0;
}

function planContainer(container: ContainerState, spec: PodSpec, now: number, plan: PodPlan): void {
  if (container.now.is === 'running') {
    if (container.failedProbe === undefined || container.killing) return;
    const again = container.kind === 'sidecar' || spec.restartPolicy !== 'Never';
    plan.actions.push({
      do: 'kill',
      container: container.name,
      why: container.failedProbe,
      message: `Container ${container.name} failed ${container.failedProbe} probe${again ? ', will be restarted' : ''}`,
    });
    return;
  }
  if (container.now.is === 'starting' || !wouldRestart(container, spec)) return;
  const at = container.now.is === 'waiting' ? container.now.retryAt : backOffUntil(container.backOff, container.now.finishedAt, now);
  if (at !== undefined && at > now) plan.wakeAt = Math.min(plan.wakeAt ?? Infinity, at);
  else plan.actions.push({ do: 'start', container: container.name });
}

/** Main containers end first; sidecars, in reverse order, once no main container is left. */
function planEnd(state: PodState, deleting: boolean): PodPlan {
  const living = state.containers.filter(alive);
  const mains = living.filter((item) => item.kind !== 'sidecar');
  const turn = mains.length > 0 ? mains : living.slice(-1);
  const actions: PodAction[] = turn
    .filter((item) => item.now.is === 'running' && !item.killing)
    .map((item) => ({ do: 'kill', container: item.name, why: 'pod' }));
  if (living.length > 0) return { actions };
  if (state.sandbox === 'ready') return { actions: [{ do: 'tearDown' }] };
  return { actions: deleting ? [{ do: 'remove' }] : [] };
}
