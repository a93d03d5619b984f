/** Names under which frontends and workers of a graph find each other: Dynamo's. */
export const endpointNames = { generate: 'generate', kvEvents: 'kv_events', clearKvBlocks: 'clear_kv_blocks' } as const;

/** Topics of the event plane. */
export const topics = { kvEvents: 'kv-events', kvMetrics: 'kv_metrics' } as const;

/** `DYN_NAMESPACE`; Dynamo's default. */
export function dynamoNamespace(requested: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  return requested ?? env['DYN_NAMESPACE'] ?? 'dynamo';
}
