import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StepDeadline, stepTimeoutMs } from './stepDeadline.ts';

const stats = { running: 0, steps: 0, failedStepsInARow: 0 };
const onHung = vi.fn<() => void>();
let deadline: StepDeadline;
beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(stats, { running: 0, steps: 0, failedStepsInARow: 0 });
  onHung.mockClear();
  deadline = new StepDeadline({ stats: () => stats, timeoutMs: 1_000, onHung });
});
afterEach(() => {
  deadline[Symbol.dispose]();
  vi.useRealTimers();
});

describe('StepDeadline', () => {
  it('says once that a step hangs, when it had its time', () => {
    stats.running = 1;
    vi.advanceTimersByTime(1_000);
    expect(onHung).not.toHaveBeenCalled();
    vi.advanceTimersByTime(100);
    expect(onHung).toHaveBeenCalledOnce();
    vi.advanceTimersByTime(10_000);
    expect(onHung).toHaveBeenCalledOnce();
  });

  it('says nothing of an engine that is idle, or slow, or fails', () => {
    vi.advanceTimersByTime(10_000);
    stats.running = 1;
    for (let i = 0; i < 20; i++) {
      stats.steps += 1;
      vi.advanceTimersByTime(900);
    }
    for (let i = 0; i < 20; i++) {
      stats.failedStepsInARow += 1;
      vi.advanceTimersByTime(900);
    }
    expect(onHung).not.toHaveBeenCalled();
  });

  it('has 60 seconds unless told otherwise', () => {
    expect(stepTimeoutMs({})).toBe(60_000);
    expect(stepTimeoutMs({ DYNAMO_LABS_STEP_TIMEOUT_SECONDS: '0.5' })).toBe(500);
    expect(() => stepTimeoutMs({ DYNAMO_LABS_STEP_TIMEOUT_SECONDS: 'soon' })).toThrow();
  });
});
