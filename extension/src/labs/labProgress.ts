import type { LabSummary } from '../protocol.ts';

export interface LabProgress {
  passed: number;
  total: number;
  /** Sum of the estimates of the steps that have not passed. */
  minutesLeft: number;
}

export function labProgress(lab: LabSummary): LabProgress {
  const open = lab.steps.filter(({ state }) => state !== 'passed');
  return { passed: lab.steps.length - open.length, total: lab.steps.length, minutesLeft: open.reduce((sum, step) => sum + step.durationMinutes, 0) };
}

/** `45 min`, `1 h`, `1 h 15 min`. */
export function durationText(minutes: number): string {
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours === 0) return `${rest} min`;
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}
