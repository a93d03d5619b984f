import type { ReactElement } from 'react';

import type { StepState, Verdict } from '../protocol.ts';

const shapes: Record<StepState, ReactElement> = {
  todo: <circle cx="8" cy="8" r="5.75" fill="none" stroke="currentColor" strokeWidth="1.5" />,
  running: <path d="M8 2.250a5.750 5.750 0 1 1-5.750 5.750" fill="none" stroke="currentColor" strokeWidth="1.75" strokeLinecap="round" />,
  passed: (
    <path
      fill="currentColor"
      fillRule="evenodd"
      d="M8 1.500a6.500 6.500 0 1 1 0 13 6.500 6.500 0 0 1 0-13zM7 11.400l4.900-4.900-1.050-1.050L7 9.300 5.150 7.450 4.100 8.500z"
    />
  ),
  failed: (
    <path
      fill="currentColor"
      fillRule="evenodd"
      d="M8 1.500a6.500 6.500 0 1 1 0 13 6.500 6.500 0 0 1 0-13zM5.600 4.550 4.550 5.600 6.950 8l-2.400 2.400 1.050 1.050L8 9.050l2.400 2.400 1.050-1.050L9.050 8l2.400-2.400-1.050-1.050L8 6.950z"
    />
  ),
  error: <path fill="currentColor" fillRule="evenodd" d="M8 1.300 15.200 14H.800zM7.250 5.800v4h1.500v-4zm0 5v1.500h1.500v-1.500z" />,
};

export const stateWords: Record<StepState, string> = { todo: 'to do', running: 'checking', passed: 'passed', failed: 'not yet', error: 'could not look' };

const verdictStates: Record<Verdict, StepState> = { PASS: 'passed', FAIL: 'failed', ERROR: 'error' };

/** Shape and colour say the same; `label` is read aloud where no text stands beside it. */
export function StateIcon({ state, label }: { state: StepState; label?: boolean }): ReactElement {
  const name = label ? { role: 'img', 'aria-label': stateWords[state] } : { 'aria-hidden': true };
  return (
    <svg className={`dl-StateIcon dl-mod-${state}`} viewBox="0 0 16 16" width="16" height="16" {...name}>
      {shapes[state]}
    </svg>
  );
}

export function stateOfVerdict(verdict: Verdict): StepState {
  return verdictStates[verdict];
}
