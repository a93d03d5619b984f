import { Progress } from '../../../scripts/setup/progress.mjs';
import { stateLayout } from '../controlplane/index.ts';
import type { Command } from './command.ts';
import { prepareAssets } from './prepareAssets.ts';

/** Fetches or builds everything that a start or a test needs, then ends. */
export const setup: Command = async (_args, signal) => {
  const progress = new Progress();
  try {
    await prepareAssets({ layout: stateLayout(), progress, signal });
    return 0;
  } finally {
    progress.stop();
  }
};
