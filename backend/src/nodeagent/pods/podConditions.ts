import type { Pod, PodCondition, PodSpec } from './pod.ts';
import type { PodOutcome } from './podPlan.ts';
import type { ContainerState, PodState } from './podState.ts';

/** The condition types that the node owns; all others (PodScheduled, readiness gates, DisruptionTarget) are left alone. */
export const nodeConditions = ['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready'] as const;

type Verdict = Pick<PodCondition, 'status' | 'reason' | 'message'>;

const isTrue: Verdict = { status: 'True' };

function names(containers: ContainerState[]): string {
  return `[${containers.map((item) => item.name).join(' ')}]`;
}

function initialized(state: PodState, outcome: PodOutcome | undefined): Verdict {
  if (outcome === 'Succeeded') return { status: 'True', reason: 'PodCompleted' };
  if (state.initialised) return isTrue;
  const incomplete = state.containers.filter((item) => (item.kind === 'sidecar' ? !item.started : item.kind === 'init' && !item.ready));
  if (incomplete.length === 0) return isTrue;
  return { status: 'False', reason: 'ContainersNotInitialized', message: `containers with incomplete status: ${names(incomplete)}` };
}

function containersReady(state: PodState, outcome: PodOutcome | undefined): Verdict {
  if (outcome === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  if (outcome === 'Failed') return { status: 'False', reason: 'PodFailed' };
  const unready = state.containers.filter((item) => item.kind !== 'init' && !item.ready);
  if (unready.length === 0) return isTrue;
  return { status: 'False', reason: 'ContainersNotReady', message: `containers with unready status: ${names(unready)}` };
}

function ready(spec: PodSpec, current: PodCondition[], containers: Verdict): Verdict {
  if (containers.status !== 'True') return containers;
  const messages = (spec.readinessGates ?? []).flatMap((gate) => {
    const found = current.find((condition) => condition.type === gate.conditionType);
    if (found === undefined) return [`corresponding condition of pod readiness gate "${gate.conditionType}" does not exist.`];
    return found.status === 'True' ? [] : [`the status of pod readiness gate "${gate.conditionType}" is not "True", but ${found.status}`];
  });
  return messages.length === 0 ? isTrue : { status: 'False', reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}

/** The node's conditions of a pod, in the kubelet's words; the transition time of an unchanged status is kept. */
export function podConditions(pod: Pod, state: PodState, outcome: PodOutcome | undefined, previous: PodCondition[], now: number): PodCondition[] {
  const containers = containersReady(state, outcome);
  const verdicts: Record<(typeof nodeConditions)[number], Verdict> = {
    PodReadyToStartContainers: { status: state.sandbox === 'ready' ? 'True' : 'False' },
    Initialized: initialized(state, outcome),
    ContainersReady: containers,
    Ready: ready(pod.spec, pod.status?.conditions ?? [], containers),
  };
  return nodeConditions.map((type) => {
    const before = previous.find((condition) => condition.type === type);
    const verdict = verdicts[type];
    const kept = before?.status === verdict.status ? before.lastTransitionTime : undefined;
    return {
      type,
      status: verdict.status,
      // Null removes what an earlier status said: the patch merges conditions by type.
      reason: verdict.reason ?? null,
      message: verdict.message ?? null,
      lastTransitionTime: kept ?? rfc3339(now),
      ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
    };
  });
}

/** metav1.Time: RFC 3339 in UTC with whole seconds. */
export function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
