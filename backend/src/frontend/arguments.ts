import type { RouterMode, RouterWeights } from '../protocol/index.ts';
import type { CostFormulaName } from '../router/index.ts';
import { bool, CommandLine, float, fromEnv, integer } from '../runtime/commandLine.ts';
import { discoveryBackends, eventPlaneKind, eventPlanes, type EventPlaneKind } from '../runtime/index.ts';

/** The interpreted flags of `python3 -m dynamo.frontend`. */
export interface FrontendArguments {
  httpHost: string;
  httpPort: number;
  namespace: string | undefined;
  discoveryBackend: string;
  eventPlane: EventPlaneKind;
  routerMode: RouterMode;
  /** Listen to KV events; without them a KV router sees no overlap. */
  kvEvents: boolean;
  weights: Partial<RouterWeights>;
  formula: CostFormulaName;
  /** Required of workers when given; else the model card's. */
  kvCacheBlockSize: number | undefined;
  /** A worker is busy above this share of its KV blocks, 0 to 1. */
  busyThreshold: number | undefined;
  /** Seed of ties and samples, for repeatable runs. */
  routerSeed: bigint | undefined;
  /** Flags that are accepted and mean nothing here; the log says so. */
  withoutEffect: string[];
}

const modes: readonly RouterMode[] = ['round-robin', 'random', 'power-of-two', 'kv', 'direct', 'least-loaded'];

function commandLine(env: NodeJS.ProcessEnv): CommandLine {
  const parser = new CommandLine('Dynamo Frontend: HTTP+Pre-processor+Router');
  parser.add_argument('--version', { action: 'version', version: `Dynamo Frontend ${env['DYNAMO_LABS_RUNTIME_VERSION'] ?? '0.0.0'}` });
  parser.add_argument('--http-host', { default: env['DYN_HTTP_HOST'] ?? (env['POD_IP'] === undefined ? '127.0.0.1' : '0.0.0.0') });
  parser.add_argument('--http-port', { type: integer(0), default: fromEnv(env, 'DYN_HTTP_PORT', integer(0), 8000) });
  parser.add_argument('--namespace', { help: 'Serve only models of this Dynamo namespace; default: DYN_NAMESPACE.' });
  parser.add_argument('--router-mode', { choices: [...modes], default: env['DYN_ROUTER_MODE'] ?? 'round-robin' });
  const weight = (flags: string[], variable: string): void => {
    parser.add_argument(...(flags as [string]), { type: float(0), default: fromEnv(env, variable, float(0), undefined) });
  };
  weight(['--kv-overlap-score-weight'], 'DYN_KV_OVERLAP_SCORE_WEIGHT');
  weight(['--router-kv-overlap-score-credit'], 'DYN_ROUTER_KV_OVERLAP_SCORE_CREDIT');
  weight(['--router-kv-overlap-score-credit-decay'], 'DYN_ROUTER_KV_OVERLAP_SCORE_DECAY');
  weight(['--router-prefill-load-scale'], 'DYN_ROUTER_PREFILL_LOAD_SCALE');
  weight(['--router-host-cache-hit-weight'], 'DYN_ROUTER_HOST_CACHE_HIT_WEIGHT');
  weight(['--router-disk-cache-hit-weight'], 'DYN_ROUTER_DISK_CACHE_HIT_WEIGHT');
  weight(['--router-decode-active-request-weight'], 'DYN_ROUTER_DECODE_ACTIVE_REQUEST_WEIGHT');
  weight(['--router-temperature'], 'DYN_ROUTER_TEMPERATURE');
  parser.add_argument('--no-kv-events', { action: 'store_false', dest: 'kv_events', default: fromEnv(env, 'DYN_KV_EVENTS', bool, true) });
  parser.toggle('--router-kv-events', { default: fromEnv(env, 'DYN_ROUTER_USE_KV_EVENTS', bool, true), help: 'Follow the KV events of workers.' });
  parser.add_argument('--kv-cache-block-size', { type: integer(1), default: fromEnv(env, 'DYN_KV_CACHE_BLOCK_SIZE', integer(1), undefined) });
  parser.add_argument('--busy-threshold', '--active-decode-blocks-threshold', {
    type: float(0, 1),
    default: fromEnv(env, 'DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD', float(0, 1), undefined),
  });
  parser.add_argument('--discovery-backend', '--store-kv', {
    choices: [...discoveryBackends],
    default: env['DYN_DISCOVERY_BACKEND'] ?? env['DYN_STORE_KV'] ?? 'file',
  });
  parser.add_argument('--request-plane', { choices: ['tcp'], default: 'tcp' });
  parser.add_argument('--event-plane', { choices: [...eventPlanes] });
  parser.add_argument('--router-replica-sync', { action: 'store_true' });
  parser.add_argument('--router-reset-states', { action: 'store_true' });
  parser.add_argument('--router-snapshot-threshold', { type: integer(1) });
  parser.add_argument('--router-event-threads', { type: integer(1) });
  parser.add_argument('--migration-limit', { type: integer(0) });
  return parser;
}

const ignored = ['router_replica_sync', 'router_reset_states', 'router_snapshot_threshold', 'router_event_threads', 'migration_limit'];

const weightNames: Record<string, string> = {
  kv_overlap_score_weight: 'overlap_score_weight',
  router_kv_overlap_score_credit: 'overlap_score_credit',
  router_kv_overlap_score_credit_decay: 'overlap_score_credit_decay',
  router_prefill_load_scale: 'prefill_load_scale',
  router_host_cache_hit_weight: 'host_cache_hit_weight',
  router_disk_cache_hit_weight: 'disk_cache_hit_weight',
  router_decode_active_request_weight: 'decode_active_request_weight',
  router_temperature: 'temperature',
};

/** Reads the flags. Throws `CommandLineExit` with argparse's own words for what it does not know or cannot do. */
export function parseFrontendArguments(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): FrontendArguments {
  const parser: CommandLine = commandLine(env);
  const flags = parser.read(argv);
  const mode = modes.find((known) => known === flags['router_mode']);
  // argparse does not check a default against the choices: a wrong DYN_ROUTER_MODE would silently mean round-robin.
  if (mode === undefined)
    parser.refuse(`argument --router-mode: invalid choice: '${String(flags['router_mode'])}' (choose from ${modes.map((m) => `'${m}'`).join(', ')})`);
  const weights = Object.entries(weightNames).flatMap(([flag, name]) => (flags[flag] === undefined ? [] : [[name, flags[flag] as number] as const]));
  let eventPlane: EventPlaneKind;
  try {
    eventPlane = eventPlaneKind(flags['event_plane'] as string | undefined, env);
  } catch (error) {
    return parser.refuse(`argument --event-plane: ${(error as Error).message}`);
  }
  const seed = env['DYNAMO_LABS_ROUTER_SEED'];
  return {
    httpHost: flags['http_host'] as string,
    httpPort: flags['http_port'] as number,
    namespace: (flags['namespace'] as string | undefined) ?? env['DYN_NAMESPACE'],
    discoveryBackend: flags['discovery_backend'] as string,
    eventPlane,
    routerMode: mode,
    kvEvents: flags['kv_events'] === true && flags['router_kv_events'] === true,
    weights: Object.fromEntries(weights) as Partial<RouterWeights>,
    formula: costFormula(env),
    kvCacheBlockSize: flags['kv_cache_block_size'] as number | undefined,
    busyThreshold: flags['busy_threshold'] as number | undefined,
    routerSeed: seed === undefined || !/^\d+$/.test(seed) ? undefined : BigInt(seed),
    withoutEffect: ignored.filter((name) => flags[name] !== undefined && flags[name] !== false).map((name) => `--${name.replaceAll('_', '-')}`),
  };
}

/** Runtimes before 1.0 weigh by Dynamo 0.8's formula; `DYNAMO_LABS_COST_FORMULA` chooses explicitly. */
function costFormula(env: NodeJS.ProcessEnv): CostFormulaName {
  const chosen = env['DYNAMO_LABS_COST_FORMULA'];
  if (chosen === 'dynamo-0.8' || chosen === 'linear') return chosen;
  return (env['DYNAMO_LABS_RUNTIME_VERSION'] ?? '').startsWith('0.') ? 'dynamo-0.8' : 'linear';
}
