import { z } from 'zod';
import type { Check } from './runCheck.ts';
import type { ClusterView } from './clusterView.ts';

const id = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'lower-case words joined by "-"');

/** `lab.yaml`: everything about a lab that is neither text nor code. */
export const labYaml = z.strictObject({
  id,
  title: z.string().min(1),
  summary: z.string().min(1),
  /** Rows of the course inventory that this lab teaches, e.g. `KV-10`. */
  rows: z.array(z.string().regex(/^[A-Z0-9]+-\d+$/)).default([]),
  requires: z.array(z.enum(['gpu', 'cluster'])).default([]),
  steps: z
    .array(
      z.strictObject({
        id,
        title: z.string().min(1),
        /** What is true when the step is done, in the learner's words. */
        goal: z.string().min(1),
        durationMinutes: z.number().int().positive(),
        rows: z.array(z.string()).default([]),
        /** Seconds for the check; default 30. */
        checkSeconds: z.number().int().positive().max(300).default(30),
        /** The step asks for nothing to be changed: a fresh check may pass. Needs a reason. */
        readOnly: z.string().optional(),
      }),
    )
    .min(1),
});

export type LabYaml = z.infer<typeof labYaml>;

/** What solutions, wrong answers and resets work with. They act as the learner would: through the API server. */
export interface ActContext {
  cluster: ClusterView;
  /** Absolute path of the lab's folder (manifests). */
  labDir: string;
  /** Hands in an answer of this step, as `step.answer(name, value)` in a notebook does. */
  answer(name: string, value: unknown): Promise<void>;
  signal: AbortSignal;
}

export type Act = (context: ActContext) => Promise<void>;

/** A predictable mistake, and exactly the assertion that must catch it. */
export interface WrongAnswer {
  step: string;
  name: string;
  /** Why people do this; shown to authors. */
  because: string;
  apply: Act;
  expect: { assertion: string };
}

/** A lab with its code: the modules `checks.ts`, `solution.ts`, `wrong.ts` of its folder, and its hints. */
export interface Lab {
  yaml: LabYaml;
  dir: string;
  checks: Record<string, Check>;
  solution: Record<string, Act>;
  /** Takes back what a step made. Called in reverse order for a lab reset. */
  reset: Record<string, Act>;
  wrong: WrongAnswer[];
  /** Per step, the hint ladder in Markdown. */
  hints: Record<string, string[]>;
  /** Per step, the solution as the learner reads it, in Markdown. */
  solutionText: Record<string, string>;
  /** What the lab may leave nothing of: lists everything it made that still exists. */
  leftovers: (cluster: ClusterView) => Promise<string[]>;
}
