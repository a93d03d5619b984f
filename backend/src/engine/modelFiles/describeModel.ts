import type { NativeMatmul } from '@dynamo-labs/native';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { describeGguf } from './ggufModel.ts';
import { describeHfFolder } from './hfModel.ts';
import type { ModelDescription } from './modelDescription.ts';
import { ModelFileError } from './modelFileError.ts';

/** Describes a model folder (one .gguf, or config.json with safetensors) or a .gguf file. Throws {@link ModelFileError}. */
export function describeModel(place: string): ModelDescription {
  if (!existsSync(place)) throw new ModelFileError('NO_MODEL', place, '', 'does not exist');
  if (!statSync(place).isDirectory()) return describeGguf(place);
  const ggufs = readdirSync(place).filter((name) => name.endsWith('.gguf'));
  if (ggufs.length > 1) throw new ModelFileError('NO_MODEL', place, '', `holds ${ggufs.length} .gguf files; name one`);
  if (ggufs[0]) return { ...describeGguf(path.join(place, ggufs[0])), name: path.basename(path.resolve(place)) };
  if (existsSync(path.join(place, 'config.json'))) return describeHfFolder(place);
  throw new ModelFileError('NO_MODEL', place, '', 'holds neither a .gguf file nor config.json');
}

const samples = 64;
const sampleBytes = 4096;

/**
 * Tells models and KV layouts apart: workers may exchange KV blocks only where it is equal. Covers shape, tensor table, file sizes and 64 samples of each
 * file's bytes, so that it costs milliseconds; it is not a proof against tampering. The arithmetic counts where a matrix is quantised.
 */
export function modelFingerprint(model: ModelDescription, blockTokens: number, matmul: NativeMatmul): string {
  const hash = createHash('sha256');
  const { inverseFrequencies, ...shape } = model.spec;
  hash.update(JSON.stringify({ layout: 'k-transposed-f16', blockTokens, shape, inverseFrequencies: [...inverseFrequencies] }));
  hash.update(JSON.stringify(model.tensors));
  if (matmul === 'int8' && model.tensors.some(({ dtype }) => dtype === 'Q8_0' || dtype === 'Q4_1')) hash.update('int8 activations');
  const buffer = Buffer.alloc(sampleBytes);
  for (const file of model.files) {
    const fd = openSync(file, 'r');
    try {
      const size = fstatSync(fd).size;
      hash.update(String(size));
      for (let i = 0; i < samples; i++) {
        const read = readSync(fd, buffer, 0, sampleBytes, Math.floor((Math.max(0, size - sampleBytes) * i) / (samples - 1)));
        hash.update(buffer.subarray(0, read));
      }
    } finally {
      closeSync(fd);
    }
  }
  return hash.digest('hex');
}
