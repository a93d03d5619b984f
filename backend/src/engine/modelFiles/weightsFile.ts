import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import path from 'node:path';
import type { ModelDescription } from './modelDescription.ts';
import { modelFingerprint } from './describeModel.ts';

/**
 * The packed weights of a model lie beside its (first) file, where all workers of this host map them; in `DYNAMO_LABS_WEIGHTS_DIR` where that is set,
 * as for pods, which cannot write to the folder of the model. The key changes with the model's shape, tensors,
 * sampled bytes, sizes and times of modification; native code adds the version of its packing.
 */
export function packedWeightsFile(model: ModelDescription, env: NodeJS.ProcessEnv = process.env): { path: string; key: string } {
  const times = model.files.map((file) => statSync(file, { bigint: true }).mtimeNs.toString());
  const key = createHash('sha256')
    .update(modelFingerprint(model, 0, 'float'))
    .update(times.join(' '))
    .digest('hex');
  const file = model.files[0]!;
  const dir = env['DYNAMO_LABS_WEIGHTS_DIR'] ?? '';
  if (dir === '') return { path: `${file}.packed`, key };
  const id = createHash('sha256').update(path.resolve(file)).digest('hex').slice(0, 8);
  return { path: path.join(dir, `${path.basename(path.dirname(path.resolve(file)))}-${id}.packed`), key };
}
