/** One line of progress of a start. */
export type StackStep =
  | { type: 'begin'; step: string; waitsFor: string }
  | { type: 'end'; step: string; ms: number; result?: string }
  | { type: 'fail'; step: string };

/** Reports when `work` begins and how it ends. A quiet step is reported only if it took longer than a second. */
export async function timed<T>(
  onStep: ((step: StackStep) => void) | undefined,
  step: string,
  waitsFor: string,
  work: () => Promise<T>,
  quiet: 'quiet' | 'told' = 'told',
): Promise<T> {
  const began = performance.now();
  let told = false;
  const tell = (): void => {
    told = true;
    onStep?.({ type: 'begin', step, waitsFor });
  };
  const timer = quiet === 'quiet' ? setTimeout(tell, 1_000) : undefined;
  if (quiet === 'told') tell();
  try {
    const value = await work();
    if (told) onStep?.({ type: 'end', step, ms: performance.now() - began, ...(typeof value === 'string' ? { result: value } : {}) });
    return value;
  } catch (error) {
    if (told) onStep?.({ type: 'fail', step });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
