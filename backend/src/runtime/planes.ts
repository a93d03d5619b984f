/**
 * Names under which frontends and workers of a graph find each other: Dynamo's, and two of ours. `release_kv_blocks`: a prefill worker frees at once, instead
 * of when their lease ends, the blocks of a prompt that no decode worker will read. Payload `{ remote_request_id }`, answer `{ released: boolean }`.
 * `fetch_kv_blocks`: a decode worker reads the beginning of a prompt that is still being computed into its prefix cache. Payload a `PreprocessedRequest`
 * with a `prefill_result` in progress, answer one `EngineOutput` with `kv_transfer`.
 */
export const endpointNames = {
  generate: 'generate',
  kvEvents: 'kv_events',
  clearKvBlocks: 'clear_kv_blocks',
  releaseKvBlocks: 'release_kv_blocks',
  fetchKvBlocks: 'fetch_kv_blocks',
} as const;

/** Topics of the event plane. */
export const topics = { kvEvents: 'kv-events', kvMetrics: 'kv_metrics', activeSequences: 'active_sequences_events' } as const;

/** `DYN_NAMESPACE`; Dynamo's default. */
export function dynamoNamespace(requested: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  return requested ?? env['DYN_NAMESPACE'] ?? 'dynamo';
}
