import { setTimeout as sleep } from 'node:timers/promises';
import type { Container, Probe } from '../pods/pod.ts';
import type { ProbeResult } from './probeCheck.ts';

export type ProbeKind = 'startup' | 'liveness' | 'readiness';

export interface ProbeLoopOptions {
  kind: ProbeKind;
  probe: Probe;
  /** Unix ms at which this run of the container started. */
  startedAt: number;
  /** Whether the startup probe has succeeded: it gates the other two. */
  isStarted(): boolean;
  isReady(): boolean;
  check(probe: Probe, signal: AbortSignal): Promise<ProbeResult>;
  /** A threshold was reached. */
  onResult(ok: boolean): void;
  onWarning(message: string): void;
}

/**
 * While a container has not been seen started or ready yet, network probes are also tried this often, and a success counts.
 * The kubelet only looks every `periodSeconds`, which would make every pod here as slow as its period.
 */
const earlyLookMs = 500;

/** Counts results against the probe's thresholds (kubelet prober worker). Pure but for its own counters. */
export class ProbeCounter {
  #last: boolean | undefined;
  #run = 0;
  readonly #probe: Probe;

  constructor(probe: Probe) {
    this.#probe = probe;
  }

  /** The verdict that this result leads to, or undefined below the threshold. */
  count(ok: boolean): boolean | undefined {
    this.#run = this.#last === ok ? this.#run + 1 : 1;
    this.#last = ok;
    return this.#run >= (ok ? (this.#probe.successThreshold ?? 1) : (this.#probe.failureThreshold ?? 3)) ? ok : undefined;
  }
}

/** Probes one run of a container until `signal` aborts or the verdict is final (a liveness failure, any startup verdict). */
export async function runProbeLoop(options: ProbeLoopOptions, signal: AbortSignal): Promise<void> {
  const { kind, probe } = options;
  const counter = new ProbeCounter(probe);
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  let due = options.startedAt + (probe.initialDelaySeconds ?? 0) * 1000;
  // After an agent restart the first look comes at once, not for every missed period.
  if (due < Date.now()) due = Date.now();
  const early = kind !== 'liveness' && probe.exec === undefined && (probe.successThreshold ?? 1) === 1;
  while (!signal.aborted) {
    const waitMs = due - Date.now();
    const pending = kind === 'startup' ? !options.isStarted() : !options.isReady();
    const looking = early && pending && waitMs > earlyLookMs && (probe.initialDelaySeconds ?? 0) === 0;
    if (waitMs > 0) await sleep(looking ? earlyLookMs : Math.min(waitMs, 1_000), undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    const gated = kind === 'startup' ? options.isStarted() : !options.isStarted();
    if (gated) {
      if (kind === 'startup') return;
      // Probing begins with the startup probe's success, as the kubelet triggers it then.
      due = Math.max(due, Date.now() + 100);
      continue;
    }
    const onTime = Date.now() >= due;
    if (!onTime && !looking) continue;
    if (onTime) due = Math.max(due + periodMs, Date.now());
    const result = await options.check(probe, signal);
    if (signal.aborted) return;
    if (!onTime && result.outcome !== 'success') continue;
    if (result.outcome !== 'success') options.onWarning(warning(kind, result));
    if (result.outcome === 'error') continue;
    const verdict = counter.count(result.outcome === 'success');
    if (verdict === undefined) continue;
    options.onResult(verdict);
    if (kind === 'startup' || (kind === 'liveness' && !verdict)) return;
  }
}

function warning(kind: ProbeKind, result: Exclude<ProbeResult, { outcome: 'success' }>): string {
  const name = kind.charAt(0).toUpperCase() + kind.slice(1);
  return result.outcome === 'error' ? `${name} probe errored and resulted in unknown state: ${result.message}` : `${name} probe failed: ${result.message}`;
}

/** The probes a container has. */
export function probesOf(container: Container): [ProbeKind, Probe][] {
  const { startupProbe, livenessProbe, readinessProbe } = container;
  const list: [ProbeKind, Probe | undefined][] = [
    ['startup', startupProbe],
    ['liveness', livenessProbe],
    ['readiness', readinessProbe],
  ];
  return list.filter((item): item is [ProbeKind, Probe] => item[1] !== undefined);
}
