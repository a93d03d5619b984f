import { CommandLine, bool, float, integer } from '../runtime/commandLine.ts';
import { addDisaggregationFlags, disaggregationRole, type DisaggregationRole } from './kvTransfer/index.ts';
import { discoveryBackends, eventPlaneKind, eventPlanes, type EventPlaneKind } from '../runtime/index.ts';

/** The interpreted flags of `python3 -m dynamo.vllm`. */
export interface WorkerArguments extends DisaggregationRole {
  model: string;
  servedModelName: string;
  blockSize: 8 | 16 | 32 | 64;
  enablePrefixCaching: boolean;
  /** KV events are made and published. */
  kvEvents: boolean;
  maxModelLen: number | undefined;
  maxNumSeqs: number;
  maxNumBatchedTokens: number;
  numGpuBlocksOverride: number | undefined;
  gpuMemoryUtilization: number;
  tensorParallelSize: number;
  migrationLimit: number;
  logRequests: boolean;
  /** KV transfers are summed up in the log now and then. */
  logStats: boolean;
  namespace: string | undefined;
  component: string;
  endpoint: string;
  discoveryBackend: string;
  eventPlane: EventPlaneKind;
  /** Flags that mean something on a GPU and nothing here; the log says so. */
  withoutEffect: string[];
}

function commandLine(env: NodeJS.ProcessEnv): CommandLine {
  const parser = new CommandLine('vLLM server integrated with Dynamo LLM.');
  const version = env['DYNAMO_LABS_RUNTIME_VERSION'] ?? '0.0.0';
  parser.add_argument('--version', { action: 'version', version: `Dynamo Backend VLLM ${version}` });
  parser.add_argument('--model', { help: 'Name of the model, or a folder that holds it.' });
  parser.add_argument('--served-model-name', { nargs: '+', help: 'The model name used in the API; default: --model.' });
  parser.add_argument('--tensor-parallel-size', '-tp', { type: integer(1), default: 1 });
  parser.add_argument('--pipeline-parallel-size', '-pp', { type: integer(1), default: 1 });
  parser.add_argument('--data-parallel-size', '-dp', { type: integer(1), default: 1 });
  addDisaggregationFlags(parser, env);
  parser.add_argument('--kv-events-config', { help: 'JSON with enable_kv_cache_events.' });
  parser.add_argument('--enable-local-indexer', { type: bool, nargs: '?', const: true, default: true });
  parser.add_argument('--block-size', { type: integer(1), choices: [8, 16, 32, 64] as unknown as string[], default: 16 });
  parser.toggle('--enable-prefix-caching', { default: true, help: 'Keep KV blocks of finished requests for prompts that begin the same.' });
  parser.add_argument('--enforce-eager', { action: 'store_true' });
  parser.add_argument('--gpu-memory-utilization', { type: float(0.01, 1), default: 0.9 });
  parser.add_argument('--max-model-len', { type: integer(1) });
  parser.add_argument('--max-num-seqs', { type: integer(1), default: 64 });
  parser.add_argument('--max-num-batched-tokens', { type: integer(1), default: 2048 });
  parser.add_argument('--num-gpu-blocks-override', { type: integer(1) });
  parser.add_argument('--disable-log-requests', { action: 'store_true' });
  parser.add_argument('--disable-log-stats', { action: 'store_true' });
  parser.add_argument('--trust-remote-code', { action: 'store_true' });
  parser.add_argument('--dtype', { default: 'auto' });
  parser.add_argument('--seed', { type: integer(0) });
  parser.add_argument('--download-dir', {});
  parser.add_argument('--swap-space', { type: float(0) });
  parser.add_argument('--migration-limit', { type: integer(0), default: 0 });
  parser.add_argument('--namespace', { help: 'Dynamo namespace; default: DYN_NAMESPACE.' });
  parser.add_argument('--endpoint', { help: 'dyn://namespace.component.endpoint' });
  parser.add_argument('--discovery-backend', '--store-kv', {
    choices: [...discoveryBackends],
    default: env['DYN_DISCOVERY_BACKEND'] ?? env['DYN_STORE_KV'] ?? 'file',
  });
  parser.add_argument('--request-plane', { choices: ['tcp'], default: env['DYN_REQUEST_PLANE'] ?? 'tcp' });
  parser.add_argument('--event-plane', { choices: [...eventPlanes] });
  return parser;
}

/** Reads the flags. Throws `CommandLineExit` with argparse's own words for what it does not know or cannot do. */
export function parseWorkerArguments(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): WorkerArguments {
  const parser: CommandLine = commandLine(env);
  const flags = parser.read(argv);
  const number = (name: string): number => flags[name] as number;
  const model = flags['model'] as string | undefined;
  if (model === undefined || model === '') parser.refuse('the following arguments are required: --model');
  const role = disaggregationRole(parser, flags, env['DYNAMO_LABS_RUNTIME_VERSION']);
  if (number('data_parallel_size') > 1) parser.refuse('--data-parallel-size: this runtime runs one rank per worker; raise the number of replicas instead');
  if (flags['request_plane'] !== 'tcp') parser.refuse(`argument --request-plane: invalid choice: '${String(flags['request_plane'])}' (choose from 'tcp')`);
  const config = kvEventsConfig(parser, flags['kv_events_config'] as string | undefined);
  const enablePrefixCaching = flags['enable_prefix_caching'] as boolean;
  const names = flags['served_model_name'] as string[] | undefined;
  const place = endpointPath(parser, flags['endpoint'] as string | undefined);
  let eventPlane: EventPlaneKind;
  try {
    eventPlane = eventPlaneKind(flags['event_plane'] as string | undefined, env);
  } catch (error) {
    parser.refuse(`argument --event-plane: ${(error as Error).message}`);
  }
  return {
    model,
    servedModelName: names?.[0] ?? model,
    blockSize: number('block_size') as WorkerArguments['blockSize'],
    enablePrefixCaching,
    kvEvents: enablePrefixCaching && config.enable_kv_cache_events !== false,
    maxModelLen: flags['max_model_len'] as number | undefined,
    maxNumSeqs: number('max_num_seqs'),
    maxNumBatchedTokens: number('max_num_batched_tokens'),
    numGpuBlocksOverride: flags['num_gpu_blocks_override'] as number | undefined,
    gpuMemoryUtilization: number('gpu_memory_utilization'),
    tensorParallelSize: number('tensor_parallel_size'),
    migrationLimit: number('migration_limit'),
    logRequests: flags['disable_log_requests'] !== true,
    logStats: flags['disable_log_stats'] !== true,
    namespace: place?.namespace ?? (flags['namespace'] as string | undefined),
    component: place?.component ?? (role.mode === 'prefill' ? 'prefill' : 'backend'),
    endpoint: place?.endpoint ?? 'generate',
    discoveryBackend: flags['discovery_backend'] as string,
    eventPlane,
    ...role,
    withoutEffect: withoutEffect(flags, role, env),
  };
}

function kvEventsConfig(parser: CommandLine, text: string | undefined): { enable_kv_cache_events?: boolean } {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Reported below, as any other value that is not an object.
  }
  return parser.refuse(`argument --kv-events-config: Value ${text} cannot be converted to a JSON object.`);
}

function endpointPath(parser: CommandLine, text: string | undefined): { namespace: string; component: string; endpoint: string } | undefined {
  if (text === undefined) return undefined;
  const match = /^dyn:\/\/([^.]+)\.([^.]+)\.([^.]+)$/.exec(text);
  const [, namespace, component, endpoint] = match ?? [];
  if (namespace === undefined || component === undefined || endpoint === undefined) {
    return parser.refuse(`argument --endpoint: '${text}' is not of the form dyn://namespace.component.endpoint`);
  }
  return { namespace, component, endpoint };
}

function withoutEffect(flags: Record<string, unknown>, role: DisaggregationRole, env: NodeJS.ProcessEnv): string[] {
  const ignored: string[] = [];
  if ((flags['tensor_parallel_size'] as number) > 1) ignored.push('--tensor-parallel-size');
  if ((flags['pipeline_parallel_size'] as number) > 1) ignored.push('--pipeline-parallel-size');
  if (flags['enforce_eager'] === true) ignored.push('--enforce-eager');
  if (flags['dtype'] !== 'auto') ignored.push('--dtype');
  if (flags['swap_space'] !== undefined) ignored.push('--swap-space');
  // The host tier is sized by the environment, and is there whenever that asks for it.
  const hostTier = ['DYN_KVBM_CPU_CACHE_GB', 'DYN_KVBM_CPU_CACHE_OVERRIDE_NUM_BLOCKS', 'DYNAMO_LABS_HOST_CACHE_BLOCKS'].some(
    (name) => (env[name] ?? '') !== '',
  );
  for (const connector of role.connectors) if (connector !== 'kvbm' || !hostTier) ignored.push(`--connector ${connector}`);
  return ignored;
}
