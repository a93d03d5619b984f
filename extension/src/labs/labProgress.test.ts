import { expect, test } from 'vitest';

import type { LabSummary, StepState } from '../protocol.ts';
import { durationText, labProgress } from './labProgress.ts';

test('progress counts passed steps and sums what is left', () => {
  const steps = (['passed', 'failed', 'todo', 'error', 'running'] as StepState[]).map((state, i) => ({ state, durationMinutes: 10 * (i + 1) }));
  expect(labProgress({ steps } as unknown as LabSummary)).toEqual({ passed: 1, total: 5, minutesLeft: 140 });
  expect(labProgress({ steps: [] } as unknown as LabSummary)).toEqual({ passed: 0, total: 0, minutesLeft: 0 });
});

test.each([
  [0, '0 min'],
  [45, '45 min'],
  [60, '1 h'],
  [75, '1 h 15 min'],
])('%d minutes read %s', (minutes, text) => expect(durationText(minutes)).toBe(text));
