import { mkdir } from 'node:fs/promises';
import type { Progress } from '../../../scripts/setup/progress.mjs';
import { resolveKubernetes } from '../controlplane/components.ts';
import type { KubernetesBinaries } from '../controlplane/kubernetesPrograms.ts';
import { resolveNats } from '../controlplane/natsServer.ts';
import { timed } from '../controlplane/stackStep.ts';
import type { StateLayout } from '../controlplane/stateLayout.ts';

export interface Assets {
  kubernetes: KubernetesBinaries;
}

/** Finds, fetches or builds what lies in the cache: Kubernetes, nats-server, model weights. One progress line for each that takes time. */
export async function prepareAssets(options: { layout: StateLayout; progress: Progress; signal: AbortSignal }): Promise<Assets> {
  const { layout, progress, signal } = options;
  await mkdir(layout.cache, { recursive: true });
  const step = <T>(name: string, waitsFor: string, work: (log: (note: string) => void) => Promise<T>): Promise<T> =>
    timed(
      (event) => {
        if (event.type === 'begin') progress.begin(event.step, event.waitsFor);
        else if (event.type === 'end') progress.end(event.step, event.result);
        else progress.fail(event.step);
      },
      name,
      waitsFor,
      () => work((note) => progress.note(name, note)),
      'quiet',
    );
  const kubernetes = await step('Kubernetes programs', 'a download or a build', (log) => resolveKubernetes(layout, { log, signal }));
  await step('nats-server', 'a download or a build', (log) => resolveNats(layout, { log, signal }));
  await step('model weights', 'a download', async (log) => {
    const { ensureModelAssets } = await import('../controlplane/modelAssets.ts');
    await ensureModelAssets({ cacheDir: layout.cache, log, signal });
  });
  return { kubernetes };
}
