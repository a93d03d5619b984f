import { z } from 'zod';
import type { ModelDeploymentCard } from '../../protocol/index.ts';
import type { EventChannel, Instance, Transport } from './discovery.ts';

/**
 * One instance as Dynamo stores it: three maps keyed `namespace/component/name/<instance id in hex>`, in the `spec.data`
 * of a DynamoWorkerMetadata and, entry by entry, under `v1/…` of the key-value stores.
 */
export interface InstanceRecord {
  endpoints: Record<string, unknown>;
  model_cards: Record<string, unknown>;
  event_channels: Record<string, unknown>;
}

const id = z.union([z.number().int().nonnegative(), z.string().regex(/^\d+$/)]).transform((value) => BigInt(value));
const place = { namespace: z.string(), component: z.string(), instance_id: id };

const endpointEntry = z.object({ ...place, endpoint: z.string(), transport: z.object({ tcp: z.string().optional(), nats_tcp: z.string().optional() }) });

const modelCard = z
  .object({
    display_name: z.string().min(1),
    model_type: z.enum(['chat', 'prefill']),
    context_length: z.number().int().positive(),
    kv_cache_block_size: z.number().int().positive(),
    total_kv_blocks: z.number().int().positive(),
    max_num_seqs: z.number().int().positive(),
    max_num_batched_tokens: z.number().int().positive(),
    migration_limit: z.number().int().nonnegative(),
    eos_token_ids: z.array(z.number().int()),
    default_sampling: z.object({ temperature: z.number().min(0).optional(), top_p: z.number().optional(), top_k: z.number().int().optional() }).optional(),
    tokenizer_path: z.string(),
    engine: z.object({
      name: z.string(),
      architecture: z.string(),
      parameters: z.number(),
      stand_in: z.boolean(),
      kv_bytes_per_block: z.number(),
      fingerprint: z.string(),
    }),
    kv_events: z.enum(['nats', 'zmq', 'none']),
  })
  .loose();

const cardEntry = z.object({ ...place, endpoint: z.string(), card_json: modelCard });

const channelEntry = z.object({
  ...place,
  topic: z.string(),
  transport: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('Nats'), config: z.object({ subject_prefix: z.string() }) }),
    z.object({ kind: z.literal('Zmq'), config: z.object({ endpoint: z.string() }) }),
  ]),
});

export function encodeInstance(instance: Instance): InstanceRecord {
  const { namespace, component, instanceId } = instance;
  const where = { namespace, component };
  const key = (name: string): string => `${namespace}/${component}/${name}/${instanceId.toString(16)}`;
  const instance_id = Number(instanceId);
  return {
    endpoints: Object.fromEntries(
      Object.entries(instance.endpoints).map(([endpoint, transport]) => [key(endpoint), { type: 'Endpoint', ...where, endpoint, instance_id, transport }]),
    ),
    model_cards:
      instance.modelCard === undefined
        ? {}
        : { [key('generate')]: { type: 'Model', ...where, endpoint: 'generate', instance_id, card_json: instance.modelCard, model_suffix: null } },
    event_channels: Object.fromEntries(
      Object.entries(instance.eventChannels).map(([topic, channel]) => [
        key(topic),
        { type: 'EventChannel', ...where, topic, instance_id, transport: encodeChannel(channel) },
      ]),
    ),
  };
}

/** The instances of a record. Entries that cannot be read are reported, never thrown: one bad pod must not hide the others. */
export function decodeInstances(record: Partial<InstanceRecord>, onBadEntry: (key: string, why: string) => void = () => {}): Instance[] {
  const instances = new Map<bigint, Instance>();
  const at = (entry: { namespace: string; component: string; instance_id: bigint }): Instance => {
    const found = instances.get(entry.instance_id);
    if (found !== undefined) return found;
    const fresh = { instanceId: entry.instance_id, namespace: entry.namespace, component: entry.component, endpoints: {}, eventChannels: {} };
    instances.set(entry.instance_id, fresh);
    return fresh;
  };
  const each = <T>(entries: Record<string, unknown> | undefined, schema: z.ZodType<T>, use: (entry: T) => void): void => {
    for (const [key, value] of Object.entries(entries ?? {})) {
      const parsed = schema.safeParse(value);
      if (parsed.success) use(parsed.data);
      else onBadEntry(key, z.prettifyError(parsed.error));
    }
  };
  each(record.endpoints, endpointEntry, (entry) => (at(entry).endpoints[entry.endpoint] = entry.transport as Transport));
  each(record.model_cards, cardEntry, (entry) => (at(entry).modelCard = entry.card_json as ModelDeploymentCard));
  each(record.event_channels, channelEntry, (entry) => (at(entry).eventChannels[entry.topic] = decodeChannel(entry.transport)));
  return [...instances.values()];
}

function encodeChannel(channel: EventChannel): unknown {
  return channel.kind === 'Zmq' ? { kind: 'Zmq', config: { endpoint: channel.endpoint } } : { kind: 'Nats', config: { subject_prefix: channel.subjectPrefix } };
}

function decodeChannel(transport: z.infer<typeof channelEntry>['transport']): EventChannel {
  return transport.kind === 'Zmq' ? { kind: 'Zmq', endpoint: transport.config.endpoint } : { kind: 'Nats', subjectPrefix: transport.config.subject_prefix };
}
