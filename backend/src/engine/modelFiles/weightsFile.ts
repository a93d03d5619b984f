import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import type { ModelDescription } from './modelDescription.ts';
import { modelFingerprint } from './describeModel.ts';

/**
 * The packed weights of a model lie beside its (first) file, where all workers of this host map them. The key changes with the model's shape, tensors,
 * sampled bytes, sizes and times of modification; native code adds the version of its packing.
 */
export function packedWeightsFile(model: ModelDescription): { path: string; key: string } {
  const times = model.files.map((file) => statSync(file, { bigint: true }).mtimeNs.toString());
  const key = createHash('sha256')
    .update(modelFingerprint(model, 0, 'float'))
    .update(times.join(' '))
    .digest('hex');
  return { path: `${model.files[0]!}.packed`, key };
}
