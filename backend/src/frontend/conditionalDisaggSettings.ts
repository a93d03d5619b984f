import { z } from 'zod';
import { conditionalDisaggDefaults, conditionalPolicies, type ConditionalDisagg } from './conditionalDisagg.ts';

const settings = z.strictObject({
  policy: z.enum(conditionalPolicies).optional(),
  max_local_prefill_length: z.number().int().min(0).optional(),
  max_local_prefill_ratio: z.number().min(0).max(1).optional(),
  max_prefill_queue_tokens: z.number().int().min(0).optional(),
});

/** A setting that is unknown or out of its bounds. `param` is its name. */
export class InvalidConditionalDisaggError extends Error {
  readonly code = 'INVALID_CONDITIONAL_DISAGG';
  readonly param: string;
  constructor(param: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'InvalidConditionalDisaggError';
    this.param = param;
  }
}

/** The rules of conditional disaggregation that hold now; each request reads them once. */
export class ConditionalDisaggSettings {
  #current: ConditionalDisagg;

  /** Without settings of its own: every prompt goes to a prefill worker. */
  constructor(initial: Partial<ConditionalDisagg> = {}) {
    this.#current = { policy: 'always_remote', ...conditionalDisaggDefaults, ...initial };
  }

  get current(): ConditionalDisagg {
    return this.#current;
  }

  /** Changes the settings that `patch` names. Throws `InvalidConditionalDisaggError` and changes nothing when any is wrong. */
  change(patch: unknown): ConditionalDisagg {
    this.#current = { ...this.#current, ...readConditionalDisagg(patch) };
    return this.#current;
  }
}

/** Throws `InvalidConditionalDisaggError`. */
export function readConditionalDisagg(value: unknown): Partial<ConditionalDisagg> {
  const parsed = settings.safeParse(value);
  if (parsed.success) return Object.fromEntries(Object.entries(parsed.data).filter(([, setting]) => setting !== undefined));
  const [issue] = parsed.error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const param = unknown ?? issue?.path.join('.') ?? '';
  const known = Object.keys(settings.shape).join(', ');
  if (unknown !== undefined) throw new InvalidConditionalDisaggError(param, `unknown setting \`${param}\`; known: ${known}`);
  if (param === '') throw new InvalidConditionalDisaggError('body', `expected an object with any of ${known}`);
  throw new InvalidConditionalDisaggError(param, `\`${param}\`: ${issue?.message ?? 'invalid'}`);
}

/** JSON text of `--router-conditional-disagg-config`. Throws `InvalidConditionalDisaggError`. */
export function parseConditionalDisagg(text: string): Partial<ConditionalDisagg> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InvalidConditionalDisaggError('config', `not JSON: ${(cause as Error).message}`, { cause });
  }
  return readConditionalDisagg(value);
}
