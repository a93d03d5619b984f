import { readdirSync } from 'node:fs';
import path from 'node:path';
import { stateLayout } from '../../backend/src/controlplane/index.ts';
import { accuracyFigures } from './engineAccuracy.ts';
import { eventLoopFigures } from './engineEventLoop.ts';
import { footprintFigures } from './engineFootprint.ts';
import { speedFigures } from './engineSpeed.ts';
import type { Figure } from './figure.ts';

const context = 8192;

/** The model engine on the default model: speed beside llama.cpp, load, memory of a further worker, its event loop, what 8-bit activations cost. */
export async function run({ signal, log }: { signal: AbortSignal; log: (line: string) => void }): Promise<Figure[]> {
  const modelDir = process.env['DYNAMO_LABS_BENCH_MODEL'] ?? path.join(stateLayout().cache, 'models', 'smollm2-135m-instruct');
  const gguf = readdirSync(modelDir).find((name) => name.endsWith('.gguf'));
  if (!gguf) throw new Error(`${modelDir} holds no .gguf: npm start fetches the default model`);
  log('load and memory');
  const figures = process.platform === 'linux' ? await footprintFigures(modelDir, signal) : [];
  log('event loop');
  figures.push(...(await eventLoopFigures(signal, log)));
  log('accuracy');
  figures.push(...(await accuracyFigures(modelDir, signal)));
  log('speed');
  figures.push(...(await speedFigures(modelDir, path.join(modelDir, gguf), context, signal, log)));
  return figures;
}
