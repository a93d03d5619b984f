import { nextBackOff, type BackOff } from './backOff.ts';
import type { Container, PodSpec } from './pod.ts';

/** What a node knows about one pod, as plain data: it is written to disk, and every decision is a pure function of it. Times are Unix ms. */
export interface PodState {
  startTime: number;
  sandbox: 'none' | 'ready' | 'ended';
  ip?: string;
  /** A main container was started in this sandbox: init containers are behind. */
  initialised: boolean;
  /** Volumes or the sandbox could not be set up; tried again at `retryAt`. */
  setup?: { failures: number; retryAt: number };
  containers: ContainerState[];
  /** The node ends this pod by itself (kubelet `DeadlineExceeded`, node shutdown). */
  ended?: { reason: string; message: string };
}

export interface ContainerState {
  name: string;
  kind: 'init' | 'sidecar' | 'main';
  /** Number of the current or latest run; -1 before the first. Also the restart count once it is ≥ 0. */
  run: number;
  now: RunPhase;
  /** How the run before ended. */
  last?: TerminatedRun;
  /** The startup probe has succeeded in this run (or there is none). */
  started: boolean;
  ready: boolean;
  backOff?: BackOff;
  /** The probe that decided that this run must end. */
  failedProbe?: 'liveness' | 'startup';
  /** A kill is under way. */
  killing: boolean;
}

export interface TerminatedRun {
  exitCode: number;
  signal?: number;
  reason: string;
  message?: string;
  startedAt: number;
  finishedAt: number;
  containerID: string;
}

export type RunPhase =
  | { is: 'waiting'; reason: string; message?: string; retryAt?: number }
  | { is: 'starting'; containerID: string }
  | { is: 'running'; containerID: string; startedAt: number; pid: number; pidStartTime: number }
  | ({ is: 'terminated' } & TerminatedRun);

export type PodEvent =
  | { type: 'sandboxReady'; ip: string }
  | { type: 'setupFailed'; retryAt: number }
  | { type: 'sandboxEnded' }
  /** The node lost sandbox and processes (a restart of the machine or of all of the cluster): the pod begins again. */
  | { type: 'sandboxLost' }
  | { type: 'podEnded'; reason: string; message: string }
  /** The image or the configuration is not there; nothing was run. */
  | { type: 'notStarted'; container: string; reason: string; message: string; retryAt: number }
  | { type: 'starting'; container: string; containerID: string }
  | { type: 'running'; container: string; pid: number; pidStartTime: number }
  | { type: 'exited'; container: string; exitCode: number; signal?: number; reason?: string; message?: string }
  | { type: 'killing'; container: string }
  | { type: 'probed'; container: string; probe: 'startup' | 'liveness' | 'readiness'; ok: boolean };

/** The state of a pod that this node has just been given. */
export function initialPodState(spec: PodSpec, now: number): PodState {
  const reason = (spec.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating';
  const state = (container: Container, kind: ContainerState['kind']): ContainerState => ({
    name: container.name,
    kind,
    run: -1,
    now: { is: 'waiting', reason },
    started: false,
    ready: false,
    killing: false,
  });
  return {
    startTime: now,
    sandbox: 'none',
    initialised: false,
    containers: [
      ...(spec.initContainers ?? []).map((container) => state(container, container.restartPolicy === 'Always' ? 'sidecar' : 'init')),
      ...spec.containers.map((container) => state(container, 'main')),
    ],
  };
}

/** The state after `event`. Never changes its input; an event that does not fit the state (a late probe result) changes nothing. */
export function applyPodEvent(state: PodState, event: PodEvent, spec: PodSpec, now: number): PodState {
  switch (event.type) {
    case 'sandboxReady': {
      const { setup: _setup, ...rest } = state;
      return { ...rest, sandbox: 'ready', ip: event.ip };
    }
    case 'setupFailed':
      return { ...state, setup: { failures: (state.setup?.failures ?? 0) + 1, retryAt: event.retryAt } };
    case 'sandboxEnded':
      return { ...state, sandbox: 'ended' };
    case 'sandboxLost':
      return afterLoss(state, spec, now);
    case 'podEnded':
      return { ...state, ended: { reason: event.reason, message: event.message } };
    default: {
      const container = [...(spec.initContainers ?? []), ...spec.containers].find((item) => item.name === event.container);
      if (container === undefined) return state;
      return {
        ...state,
        initialised: state.initialised || (event.type === 'starting' && spec.containers.includes(container)),
        containers: state.containers.map((item) => (item.name === event.container ? applyToContainer(item, event, container, now) : item)),
      };
    }
  }
}

function afterLoss(state: PodState, spec: PodSpec, now: number): PodState {
  const { ip: _ip, setup: _setup, ...rest } = state;
  const containers = state.containers.map((item): ContainerState => {
    const ended = afterExit(item, { type: 'exited', container: item.name, ...lostRun }, now);
    if (item.kind !== 'init' || ended.now.is !== 'terminated') return ended;
    const failed = ended.now.exitCode !== 0 && spec.restartPolicy === 'Never';
    return failed ? ended : { ...retireRun(ended, now), ready: false, now: { is: 'waiting', reason: 'PodInitializing' } };
  });
  return { ...rest, sandbox: 'none', initialised: false, containers };
}

/** How a run ended that nobody saw ending. */
export const lostRun = { exitCode: 137, reason: 'ContainerStatusUnknown', message: 'The container could not be located when the pod was terminated' };

type ContainerEvent = Extract<PodEvent, { container: string }>;

function applyToContainer(state: ContainerState, event: ContainerEvent, container: Container, now: number): ContainerState {
  switch (event.type) {
    case 'notStarted':
      return { ...retireRun(state, now), now: { is: 'waiting', reason: event.reason, message: event.message, retryAt: event.retryAt } };
    case 'starting':
      return { ...retireRun(state, now), run: state.run + 1, now: { is: 'starting', containerID: event.containerID } };
    case 'running': {
      if (state.now.is !== 'starting') return state;
      const started = container.startupProbe === undefined;
      return {
        ...state,
        now: { is: 'running', containerID: state.now.containerID, startedAt: now, pid: event.pid, pidStartTime: event.pidStartTime },
        started,
        ready: started && container.readinessProbe === undefined && state.kind !== 'init',
      };
    }
    case 'exited':
      return afterExit(state, event, now);
    case 'killing':
      return state.now.is === 'running' ? { ...state, killing: true } : state;
    case 'probed':
      return afterProbe(state, event, container);
  }
}

/** Moves a finished run to `last`; the restart that this makes room for raises the back-off. */
function retireRun(state: ContainerState, now: number): ContainerState {
  if (state.now.is !== 'terminated') return state;
  const { is: _is, ...last } = state.now;
  return { ...state, last, backOff: nextBackOff(state.backOff, last.finishedAt, now) };
}

function afterExit(state: ContainerState, event: Extract<PodEvent, { type: 'exited' }>, now: number): ContainerState {
  if (state.now.is !== 'running' && state.now.is !== 'starting') return state;
  const { failedProbe: _failedProbe, ...rest } = state;
  return {
    ...rest,
    now: {
      is: 'terminated',
      exitCode: event.exitCode,
      ...(event.signal === undefined ? {} : { signal: event.signal }),
      reason: event.reason ?? (event.exitCode === 0 ? 'Completed' : 'Error'),
      ...(event.message === undefined || event.message === '' ? {} : { message: event.message }),
      startedAt: state.now.is === 'running' ? state.now.startedAt : now,
      finishedAt: now,
      containerID: state.now.containerID,
    },
    started: false,
    ready: state.kind === 'init' && event.exitCode === 0,
    killing: false,
  };
}

function afterProbe(state: ContainerState, event: Extract<PodEvent, { type: 'probed' }>, container: Container): ContainerState {
  if (state.now.is !== 'running') return state;
  if (event.probe === 'readiness') return { ...state, ready: event.ok && state.started };
  if (!event.ok) return state.killing ? state : { ...state, failedProbe: event.probe };
  if (event.probe === 'startup') return { ...state, started: true, ready: container.readinessProbe === undefined };
  return state;
}
