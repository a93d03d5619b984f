import type { RouterMode, RouterWeights } from '../protocol/index.ts';
import type { ApproximateIndexOptions, BusyThresholds, CostFormulaName, QueuePolicy } from '../router/index.ts';
import { bool, CommandLine, float, fromEnv, integer } from '../runtime/commandLine.ts';
import { addServingArguments, readServingArguments, type ServingArguments } from './servingArguments.ts';
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
  /** Tell other frontends what was sent where, and hear them. */
  replicaSync: boolean;
  weights: Partial<RouterWeights>;
  formula: CostFormulaName;
  /** Required of workers when given; else the model card's. */
  kvCacheBlockSize: number | undefined;
  /** Above these a worker takes no more. */
  busy: BusyThresholds;
  /** Hold requests while all workers have more prompt tokens to compute than this times their batch size. */
  queue: { threshold: number; policy: QueuePolicy } | undefined;
  /** What is believed without KV events. */
  approximate: ApproximateIndexOptions;
  /** With KV events: how long a routed prompt is believed to be cached before its events come. */
  predictedTtlMs: number | undefined;
  /** Seed of ties and samples, for repeatable runs. */
  routerSeed: bigint | undefined;
  serving: ServingArguments;
  /** `/busy_threshold` and `/conditional_disagg` are served. */
  adminApi: boolean;
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
  const number = (flags: string[], variable: string, type: (text: string) => number): void => {
    parser.add_argument(...(flags as [string]), { type, default: fromEnv(env, variable, type, undefined) });
  };
  number(['--active-decode-blocks-threshold', '--busy-threshold'], 'DYN_ACTIVE_DECODE_BLOCKS_THRESHOLD', float(0, 1));
  number(['--active-prefill-tokens-threshold'], 'DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD', integer(1));
  number(['--active-prefill-tokens-threshold-frac'], 'DYN_ACTIVE_PREFILL_TOKENS_THRESHOLD_FRAC', float(0));
  number(['--router-queue-threshold'], 'DYN_ROUTER_QUEUE_THRESHOLD', float(0));
  parser.add_argument('--router-queue-policy', { choices: ['fcfs', 'wspt'], default: env['DYN_ROUTER_QUEUE_POLICY'] ?? 'fcfs' });
  number(['--router-ttl-secs', '--router-ttl'], 'DYN_ROUTER_TTL_SECS', float(0));
  number(['--router-max-tree-size'], 'DYN_ROUTER_MAX_TREE_SIZE', integer(1));
  number(['--router-prune-target-ratio'], 'DYN_ROUTER_PRUNE_TARGET_RATIO', float(0, 1));
  number(['--router-predicted-ttl-secs'], 'DYN_ROUTER_PREDICTED_TTL_SECS', float(0));
  parser.add_argument('--discovery-backend', '--store-kv', {
    choices: [...discoveryBackends],
    default: env['DYN_DISCOVERY_BACKEND'] ?? env['DYN_STORE_KV'] ?? 'file',
  });
  parser.add_argument('--request-plane', { choices: ['tcp'], default: env['DYN_REQUEST_PLANE'] ?? 'tcp' });
  parser.add_argument('--event-plane', { choices: [...eventPlanes] });
  parser.add_argument('--router-replica-sync', {
    action: 'store_true',
    default: fromEnv(env, 'DYN_ROUTER_REPLICA_SYNC', bool, false),
    help: 'Tell other frontends what was sent where.',
  });
  parser.add_argument('--router-reset-states', { action: 'store_true' });
  parser.add_argument('--router-snapshot-threshold', { type: integer(1) });
  parser.add_argument('--router-event-threads', { type: integer(1) });
  addServingArguments(parser, env);
  return parser;
}

const ignored = ['router_reset_states', 'router_snapshot_threshold', 'router_event_threads'];

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
  if (flags['request_plane'] !== 'tcp') parser.refuse(`argument --request-plane: invalid choice: '${String(flags['request_plane'])}' (choose from 'tcp')`);
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
    replicaSync: flags['router_replica_sync'] === true,
    kvEvents: flags['kv_events'] === true && flags['router_kv_events'] === true,
    weights: Object.fromEntries(weights) as Partial<RouterWeights>,
    formula: costFormula(env),
    kvCacheBlockSize: flags['kv_cache_block_size'] as number | undefined,
    ...routing(flags),
    serving: readServingArguments(parser, flags, env),
    adminApi: !fromEnv(env, 'DYN_DISABLE_FRONTEND_ADMIN_API', bool, false),
    routerSeed: seed === undefined || !/^\d+$/.test(seed) ? undefined : BigInt(seed),
    withoutEffect: ignored.filter((name) => flags[name] !== undefined && flags[name] !== false).map((name) => `--${name.replaceAll('_', '-')}`),
  };
}

/** The router's options whose flags are unset are left out: its own defaults hold. */
function routing(flags: Record<string, unknown>): Pick<FrontendArguments, 'busy' | 'queue' | 'approximate' | 'predictedTtlMs'> {
  const given = <T extends object>(names: Record<keyof T & string, string>, factor: Partial<Record<keyof T, number>> = {}): T =>
    Object.fromEntries(
      Object.entries<string>(names).flatMap(([name, flag]) =>
        flags[flag] === undefined ? [] : [[name, (flags[flag] as number) * (factor[name as keyof T] ?? 1)]],
      ),
    ) as T;
  const threshold = flags['router_queue_threshold'] as number | undefined;
  const predicted = flags['router_predicted_ttl_secs'] as number | undefined;
  return {
    busy: given<Required<BusyThresholds>>({
      activeDecodeBlocks: 'active_decode_blocks_threshold',
      activePrefillTokens: 'active_prefill_tokens_threshold',
      activePrefillTokensFrac: 'active_prefill_tokens_threshold_frac',
    }),
    queue: threshold === undefined ? undefined : { threshold, policy: flags['router_queue_policy'] as QueuePolicy },
    approximate: given<Required<ApproximateIndexOptions>>(
      { ttlMs: 'router_ttl_secs', maxBlocks: 'router_max_tree_size', pruneTargetRatio: 'router_prune_target_ratio' },
      { ttlMs: 1_000 },
    ),
    predictedTtlMs: predicted === undefined ? undefined : predicted * 1_000,
  };
}

/** Runtimes before 1.0 weigh by Dynamo 0.8's formula; `DYNAMO_LABS_COST_FORMULA` chooses explicitly. */
function costFormula(env: NodeJS.ProcessEnv): CostFormulaName {
  const chosen = env['DYNAMO_LABS_COST_FORMULA'];
  if (chosen === 'dynamo-0.8' || chosen === 'linear') return chosen;
  return (env['DYNAMO_LABS_RUNTIME_VERSION'] ?? '').startsWith('0.') ? 'dynamo-0.8' : 'linear';
}
