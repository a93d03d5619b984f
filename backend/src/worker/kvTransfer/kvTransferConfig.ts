/** What a worker does of a request: `agg` all of it. */
export type DisaggregationMode = 'agg' | 'prefill' | 'decode';

/** vLLM's `KVTransferConfig`, reduced to what has a meaning here. */
export interface KvTransferConfig {
  kv_connector: 'NixlConnector';
  kv_role: 'kv_producer' | 'kv_consumer' | 'kv_both';
  /** After a failed read: end the request with an error, or compute its prompt here. */
  kv_load_failure_policy: 'fail' | 'recompute';
  /** Of ours: `overlap`, whether a prefill worker offers a prompt's blocks while it computes the rest. `auto`: where readers cannot share memory with it. */
  kv_connector_extra_config: { overlap: 'auto' | 'always' | 'never' };
}

const roles = ['kv_producer', 'kv_consumer', 'kv_both'] as const;
const policies = ['fail', 'recompute'] as const;
const overlaps = ['auto', 'always', 'never'] as const;
/** Fields of vLLM's class that describe other connectors or devices; taken and not used. */
const others = ['engine_id', 'kv_buffer_device', 'kv_buffer_size', 'kv_rank', 'kv_parallel_size', 'kv_ip', 'kv_port', 'enable_permute_local_kv'];

export const defaultKvTransferConfig: KvTransferConfig = {
  kv_connector: 'NixlConnector',
  kv_role: 'kv_both',
  kv_load_failure_policy: 'fail',
  kv_connector_extra_config: { overlap: 'auto' },
};

/** Reads `--kv-transfer-config`. Throws an Error whose message says what is wrong, in vLLM's words where it has some. */
export function parseKvTransferConfig(text: string, mode: DisaggregationMode): KvTransferConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Reported below, as any other value that is not an object.
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`Value ${text} cannot be converted to a JSON object.`);
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!(name in defaultKvTransferConfig) && !others.includes(name)) throw new Error(`Unexpected keyword argument '${name}'`);
  }
  const connector = fields['kv_connector'];
  if (connector !== 'NixlConnector') throw new Error(`Unsupported connector type: ${String(connector)}. This runtime has NixlConnector.`);
  const role = roles.find((one) => one === fields['kv_role']);
  if (role === undefined) throw new Error(`Unsupported kv_role: ${String(fields['kv_role'])}. Supported roles are ${roles.join(', ')}`);
  const given = fields['kv_load_failure_policy'] ?? defaultKvTransferConfig.kv_load_failure_policy;
  const policy = policies.find((one) => one === given);
  if (policy === undefined) throw new Error(`Unsupported kv_load_failure_policy: ${String(given)}. Supported policies are ${policies.join(', ')}`);
  if ((mode === 'prefill' && role === 'kv_consumer') || (mode === 'decode' && role === 'kv_producer'))
    throw new Error(`a ${mode} worker cannot be a ${role}; use kv_both`);
  return {
    kv_connector: connector,
    kv_role: role,
    kv_load_failure_policy: policy,
    kv_connector_extra_config: extraConfig(fields['kv_connector_extra_config']),
  };
}

/** Any fields may be in it; one means something here. */
function extraConfig(value: unknown = {}): KvTransferConfig['kv_connector_extra_config'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('kv_connector_extra_config is not a JSON object');
  const { overlap: given = defaultKvTransferConfig.kv_connector_extra_config.overlap } = value as { overlap?: unknown };
  const overlap = overlaps.find((one) => one === given);
  if (overlap === undefined) throw new Error(`Unsupported overlap in kv_connector_extra_config: ${String(given)}. Supported are ${overlaps.join(', ')}`);
  return { overlap };
}
