import type { CommandLine } from '../../runtime/commandLine.ts';
import { defaultKvTransferConfig, type DisaggregationMode, type KvTransferConfig, parseKvTransferConfig } from './kvTransferConfig.ts';

/** What the flags say about this worker's part in disaggregated serving. */
export interface DisaggregationRole {
  mode: DisaggregationMode;
  /** Undefined: no KV block leaves or enters this worker. */
  kvTransfer: KvTransferConfig | undefined;
  /** Of `--connector`, besides nixl. */
  connectors: string[];
  /** Spellings that newer releases replace. */
  deprecated: string[];
}

const modes = ['agg', 'prefill', 'decode', 'encode'] as const;
const connectors = ['nixl', 'lmcache', 'kvbm', 'none', 'null'] as const;

export function addDisaggregationFlags(parser: CommandLine, env: NodeJS.ProcessEnv): void {
  parser.add_argument('--is-prefill-worker', { action: 'store_true', help: 'Compute prompts only; others go on from their KV blocks.' });
  parser.add_argument('--is-decode-worker', { action: 'store_true', help: 'Go on from KV blocks that prefill workers computed.' });
  parser.add_argument('--disaggregation-mode', { choices: [...modes], default: env['DYN_VLLM_DISAGGREGATION_MODE'] ?? 'agg' });
  parser.add_argument('--connector', { nargs: '*', choices: [...connectors] });
  parser.add_argument('--kv-transfer-config', { help: 'JSON: kv_connector, kv_role, kv_load_failure_policy.' });
}

/** Refuses through the parser what contradicts itself. */
export function disaggregationRole(parser: CommandLine, flags: Record<string, unknown>, runtimeVersion: string | undefined): DisaggregationRole {
  const mode = modeOf(parser, flags);
  const [major, minor] = (runtimeVersion ?? '').split('.').map(Number);
  const newer = major !== undefined && major >= 1;
  const deprecated = newer
    ? ['is_prefill_worker', 'is_decode_worker'].filter((flag) => flags[flag] === true).map((flag) => `--${flag.replaceAll('_', '-')}`)
    : [];
  const config = flags['kv_transfer_config'] as string | undefined;
  const asked = flags['connector'] as string[] | undefined;
  if (config !== undefined && asked !== undefined) parser.refuse('argument --kv-transfer-config: not allowed with argument --connector');
  const none = asked !== undefined && (asked.length === 0 || asked.includes('none') || asked.includes('null'));
  if (none && mode !== 'agg') parser.refuse(`argument --connector: a ${mode} worker needs nixl`);
  if (none && (asked?.length ?? 0) > 1) parser.refuse(`argument --connector: '${asked?.join(' ')}' contradicts itself`);
  // Up to 0.9 every worker had the connector, so that a worker without a role could decode; later only those that ask for it.
  const byDefault = mode !== 'agg' || (major === 0 && (minor ?? 0) > 0);
  const nixl = asked === undefined ? byDefault : asked.includes('nixl') || mode !== 'agg';
  let kvTransfer: KvTransferConfig | undefined = nixl ? defaultKvTransferConfig : undefined;
  try {
    if (config !== undefined) kvTransfer = parseKvTransferConfig(config, mode);
  } catch (error) {
    parser.refuse(`argument --kv-transfer-config: ${(error as Error).message}`);
  }
  return { mode, kvTransfer, connectors: asked?.filter((name) => name === 'lmcache' || name === 'kvbm') ?? [], deprecated };
}

function modeOf(parser: CommandLine, flags: Record<string, unknown>): DisaggregationMode {
  const named = flags['disaggregation_mode'] as string;
  const mode = modes.find((known) => known === named);
  if (mode === undefined)
    return parser.refuse(`argument --disaggregation-mode: invalid choice: '${named}' (choose from ${modes.map((m) => `'${m}'`).join(', ')})`);
  if (mode === 'encode') return parser.refuse('argument --disaggregation-mode: this runtime has no multimodal models, so no encode workers');
  const prefill = flags['is_prefill_worker'] === true;
  const decode = flags['is_decode_worker'] === true;
  if (prefill && decode) return parser.refuse('argument --is-decode-worker: not allowed with argument --is-prefill-worker');
  const old = prefill ? 'prefill' : decode ? 'decode' : undefined;
  if (old !== undefined && mode !== 'agg' && mode !== old) return parser.refuse(`argument --is-${old}-worker: not allowed with --disaggregation-mode ${mode}`);
  return old ?? mode;
}
