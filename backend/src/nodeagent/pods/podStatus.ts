import { backOffUntil, durationText } from './backOff.ts';
import {
  allContainers,
  podFullName,
  type ContainerStateStatus,
  type ContainerStatus,
  type Pod,
  type PodCondition,
  type PodSpec,
  type PodStatus,
} from './pod.ts';
import { podConditions, rfc3339 } from './podConditions.ts';
import { podOutcome, wouldRestart } from './podPlan.ts';
import type { ContainerState, PodState, TerminatedRun } from './podState.ts';

/** Kubelet's getPhase. */
export function podPhase(state: PodState, spec: PodSpec): NonNullable<PodStatus['phase']> {
  const outcome = podOutcome(state, spec);
  if (outcome !== undefined && !state.containers.some((item) => item.kind === 'main' && item.now.is === 'running')) return outcome;
  const neverRan = (item: ContainerState): boolean => item.now.is === 'starting' || (item.now.is === 'waiting' && item.last === undefined);
  const { initialised } = state;
  const initialising = state.containers.some((item) => {
    if (item.kind === 'init') return item.now.is === 'running' || neverRan(item);
    return item.kind === 'sidecar' && !initialised && !item.started;
  });
  if (initialising) return 'Pending';
  return state.containers.some((item) => item.kind === 'main' && neverRan(item)) ? 'Pending' : 'Running';
}

function terminated(run: TerminatedRun): NonNullable<ContainerStateStatus['terminated']> {
  return {
    exitCode: run.exitCode,
    ...(run.signal === undefined ? {} : { signal: run.signal }),
    reason: run.reason,
    ...(run.message === undefined ? {} : { message: run.message }),
    startedAt: rfc3339(run.startedAt),
    finishedAt: rfc3339(run.finishedAt),
    containerID: run.containerID,
  };
}

/** The container's `state` and `lastState`; a run that waits for its restart shows as CrashLoopBackOff. */
function states(pod: Pod, container: ContainerState, now: number): Pick<ContainerStatus, 'state' | 'lastState'> {
  const lastState = container.last === undefined ? {} : { terminated: terminated(container.last) };
  switch (container.now.is) {
    case 'waiting':
      return {
        state: { waiting: { reason: container.now.reason, ...(container.now.message === undefined ? {} : { message: container.now.message }) } },
        lastState,
      };
    case 'starting':
      return {
        state: { waiting: { reason: container.kind === 'main' && (pod.spec.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating' } },
        lastState,
      };
    case 'running':
      return { state: { running: { startedAt: rfc3339(container.now.startedAt) } }, lastState };
    case 'terminated': {
      const ended = terminated(container.now);
      const waits =
        pod.metadata.deletionTimestamp === undefined && wouldRestart(container, pod.spec)
          ? backOffUntil(container.backOff, container.now.finishedAt, now)
          : undefined;
      if (waits === undefined) return { state: { terminated: ended }, lastState };
      const message = `back-off ${durationText(container.backOff?.delayMs ?? 0)} restarting failed container=${container.name} pod=${podFullName(pod)}`;
      return { state: { waiting: { reason: 'CrashLoopBackOff', message } }, lastState: { terminated: ended } };
    }
  }
}

function containerID(container: ContainerState): string | undefined {
  return container.now.is === 'waiting' ? container.last?.containerID : container.now.containerID;
}

/** Where the pod's containers come from: image name to the catalogue's image id. */
export type ImageIds = (image: string) => string;

/** The status of a pod as the API server shall have it. Pure; `previous` gives the transition times. */
export function podStatus(pod: Pod, state: PodState, options: { now: number; hostIP: string; imageId: ImageIds; previous?: PodCondition[] }): PodStatus {
  const { now, hostIP, imageId } = options;
  const outcome = podOutcome(state, pod.spec);
  const one = (name: string, image: string): ContainerStatus => {
    const container = state.containers.find((item) => item.name === name)!;
    const id = containerID(container);
    return {
      name,
      image,
      imageID: container.run < 0 ? '' : imageId(image),
      ...(id === undefined ? {} : { containerID: id }),
      ready: container.ready,
      started: container.started,
      restartCount: Math.max(0, container.run),
      ...states(pod, container, now),
    };
  };
  const statuses = new Map(allContainers(pod.spec).map((container) => [container.name, one(container.name, container.image)]));
  const inits = pod.spec.initContainers ?? [];
  return {
    phase: podPhase(state, pod.spec),
    ...(state.ended === undefined ? {} : { reason: state.ended.reason, message: state.ended.message }),
    conditions: podConditions(pod, state, outcome, options.previous ?? pod.status?.conditions ?? [], now),
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...(state.ip === undefined ? {} : { podIP: state.ip, podIPs: [{ ip: state.ip }] }),
    startTime: rfc3339(state.startTime),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    ...(inits.length === 0 ? {} : { initContainerStatuses: inits.map((container) => statuses.get(container.name)!) }),
    containerStatuses: pod.spec.containers.map((container) => statuses.get(container.name)!),
  };
}
