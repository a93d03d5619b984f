/**
 * Restart back-off. The kubelet waits 10 s, doubling up to 5 min, and forgets after twice the maximum without a restart
 * (client-go flowcontrol.Backoff). Here the same rule with shorter times, so that a lab does not wait minutes for a crash loop.
 */
export interface BackOffPolicy {
  initialMs: number;
  maxMs: number;
}

export const containerBackOff: BackOffPolicy = { initialMs: 2_000, maxMs: 30_000 };

/** One container's (or image's) back-off: the wait after the last failure, and when it was last raised. */
export interface BackOff {
  delayMs: number;
  /** Unix time in ms. */
  updatedAt: number;
}

function expired(backOff: BackOff, at: number, policy: BackOffPolicy): boolean {
  return at - backOff.updatedAt > 2 * policy.maxMs;
}

/** The time (ms) until which a restart has to wait, or undefined if it may happen now. `failedAt`: when the last run ended. */
export function backOffUntil(backOff: BackOff | undefined, failedAt: number, now: number, policy = containerBackOff): number | undefined {
  if (backOff === undefined || expired(backOff, failedAt, policy)) return undefined;
  const until = failedAt + backOff.delayMs;
  return now < until ? until : undefined;
}

/** The back-off after a restart that was allowed: the first failure costs no wait, the next one `initialMs`, then doubling. */
export function nextBackOff(backOff: BackOff | undefined, failedAt: number, now: number, policy = containerBackOff): BackOff {
  const delayMs = backOff === undefined || expired(backOff, failedAt, policy) ? policy.initialMs : Math.min(backOff.delayMs * 2, policy.maxMs);
  return { delayMs, updatedAt: now };
}

/** Go's `time.Duration` text for whole seconds: `10s`, `1m20s`, `5m0s`. */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
