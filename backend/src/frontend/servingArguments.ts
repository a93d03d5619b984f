import { bool, CommandLineExit, fromEnv, integer, type CommandLine } from '../runtime/commandLine.ts';
import type { ConditionalDisagg } from './conditionalDisagg.ts';
import { InvalidConditionalDisaggError, parseConditionalDisagg } from './conditionalDisaggSettings.ts';
import type { DisaggFailurePolicy } from './prefillRouter.ts';

/** How a request goes on from worker to worker: disaggregation and migration. */
export interface ServingArguments {
  onDisaggFailure: DisaggFailurePolicy;
  /** Settings that differ from the defaults. */
  conditional: Partial<ConditionalDisagg>;
  /** Undefined: what the model's card says. */
  migrationLimit: number | undefined;
  migrationMaxSeqLen: number | undefined;
}

export function addServingArguments(parser: CommandLine, env: NodeJS.ProcessEnv): void {
  const onFailure = parser.add_mutually_exclusive_group();
  onFailure.add_argument('--enforce-disagg', {
    action: 'store_true',
    default: fromEnv(env, 'DYN_ENFORCE_DISAGG', bool, false),
    help: 'Fail requests that cannot be prefilled remotely, also when no prefill worker is registered.',
  });
  onFailure.add_argument('--decode-fallback', {
    action: 'store_true',
    default: fromEnv(env, 'DYN_DECODE_FALLBACK', bool, false),
    help: 'Let the decode worker compute a prompt whose remote prefill failed; the default of runtimes before 1.6.',
  });
  parser.toggle('--router-conditional-disagg', {
    default: fromEnv(env, 'DYN_ROUTER_CONDITIONAL_DISAGG', bool, false),
    help: 'Keep short or cached prompts on decode workers (policy isl_bounding unless the config says otherwise).',
  });
  parser.add_argument('--router-conditional-disagg-config', { metavar: 'JSON', default: env['DYN_ROUTER_CONDITIONAL_DISAGG_CONFIG'] });
  parser.add_argument('--migration-limit', { type: integer(0), default: fromEnv(env, 'DYN_MIGRATION_LIMIT', integer(0), undefined) });
  parser.add_argument('--migration-max-seq-len', { type: integer(1), default: fromEnv(env, 'DYN_MIGRATION_MAX_SEQ_LEN', integer(1), undefined) });
}

export function readServingArguments(parser: CommandLine, flags: Record<string, unknown>, env: NodeJS.ProcessEnv): ServingArguments {
  return {
    onDisaggFailure: failurePolicy(flags, env),
    conditional: conditional(parser, flags),
    migrationLimit: flags['migration_limit'] as number | undefined,
    migrationMaxSeqLen: flags['migration_max_seq_len'] as number | undefined,
  };
}

/** What is asked for; else as the runtime of the image does it: 1.6 stopped falling back. */
function failurePolicy(flags: Record<string, unknown>, env: NodeJS.ProcessEnv): DisaggFailurePolicy {
  const [enforce, fallback] = [flags['enforce_disagg'] === true, flags['decode_fallback'] === true];
  // The group refuses two flags; a variable yields to the other's flag only if it is not set itself.
  if (enforce && fallback) throw new CommandLineExit(2, 'error: DYN_ENFORCE_DISAGG and DYN_DECODE_FALLBACK exclude each other\n');
  if (enforce) return 'enforce';
  if (fallback) return 'fallback';
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(env['DYNAMO_LABS_RUNTIME_VERSION'] ?? '') ?? [];
  const before = major !== undefined && (Number(major) < 1 || (Number(major) === 1 && Number(minor) < 6));
  return before ? 'fallback' : 'error';
}

function conditional(parser: CommandLine, flags: Record<string, unknown>): Partial<ConditionalDisagg> {
  const text = flags['router_conditional_disagg_config'] as string | undefined;
  const asked = flags['router_conditional_disagg'] === true || (text !== undefined && text !== '');
  if (!asked) return {};
  try {
    return { policy: 'isl_bounding', ...(text === undefined || text === '' ? {} : parseConditionalDisagg(text)) };
  } catch (error) {
    if (!(error instanceof InvalidConditionalDisaggError)) throw error;
    return parser.refuse(`argument --router-conditional-disagg-config: ${error.message}`);
  }
}
