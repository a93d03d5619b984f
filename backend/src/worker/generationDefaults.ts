import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import type { SamplingDefaults } from '../protocol/index.ts';

const generationConfig = z.object({
  do_sample: z.boolean().optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  top_k: z.number().int().min(0).optional(),
});

/** generation_config.json says something that no request could ask for. `code` BAD_GENERATION_CONFIG. */
export class GenerationConfigError extends Error {
  readonly code = 'BAD_GENERATION_CONFIG';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GenerationConfigError';
  }
}

/** What the model's makers recommend where a request does not say, from generation_config.json: vLLM's `--generation-config auto`. Empty without one. */
export function generationDefaults(dir: string): SamplingDefaults {
  const file = path.join(dir, 'generation_config.json');
  if (!existsSync(file)) return {};
  let parsed: z.infer<typeof generationConfig>;
  try {
    parsed = generationConfig.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    const [issue] = cause instanceof z.ZodError ? cause.issues : [];
    throw new GenerationConfigError(`${file}: ${issue === undefined ? (cause as Error).message : `${issue.path.join('.')}: ${issue.message}`}`, { cause });
  }
  const { do_sample: sample, ...defaults } = parsed;
  return sample === false ? { temperature: 0 } : defaults;
}
