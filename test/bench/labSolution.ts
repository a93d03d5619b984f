import path from 'node:path';
import { projectDir } from '../../backend/src/controlplane/index.ts';
import { type Act, type ClusterView, loadLab } from '../../backend/src/validation/index.ts';

/** Sets the scene of a benchmark by the lab's own solutions: what is measured is what learners deploy. */
export async function labSolution(
  cluster: ClusterView,
  signal: AbortSignal,
): Promise<{ solve: (step: string) => Promise<void>; reset: (step: string) => Promise<void>; act: (act: Act) => Promise<void> }> {
  const lab = await loadLab(path.join(projectDir, 'labs', '03-kv-aware-routing'));
  const act = async (run: Act | undefined): Promise<void> => {
    await run?.({ cluster, labDir: lab.dir, answer: async () => {}, signal: AbortSignal.any([signal, AbortSignal.timeout(180_000)]) });
  };
  return { solve: (step) => act(lab.solution[step]), reset: (step) => act(lab.reset[step]), act };
}
