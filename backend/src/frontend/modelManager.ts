import type { Logger } from '../observability/index.ts';
import type { ModelDeploymentCard } from '../protocol/index.ts';
import { loadTextCodec, PromptEncoder, type TextCodec } from '../preprocess/index.ts';
import { KvRouter, RouterQueue, type KvRouterOptions, type QueuePolicy } from '../router/index.ts';
import { endpointNames, type EventPlane, type Instance, type InstanceListener, type RequestPlaneClient } from '../runtime/index.ts';
import { KvEventFollower } from './kvEventFollower.ts';
import type { ServedModel } from './servedModel.ts';

export interface ModelManagerOptions {
  router: Omit<KvRouterOptions, 'blockSize'>;
  queue?: { threshold: number; policy: QueuePolicy } | undefined;
  /** Refuse workers with another block size: their events would never match. */
  blockSize: number | undefined;
  /** Absent: no KV events are followed. */
  eventPlane: EventPlane | undefined;
  requests: RequestPlaneClient;
  logger: Logger;
  onModel?: (model: ServedModel) => void;
  onKvEvent?: (status: string, eventType: string) => void;
  loadCodec?: (dir: string) => Promise<TextCodec>;
}

interface Entry extends ServedModel {
  readonly workers: Map<bigint, Instance>;
}

/** The models that discovery shows. A model stays known after its last worker left, so that its absence can be told from a wrong name. */
export class ModelManager implements InstanceListener, AsyncDisposable {
  readonly #options: ModelManagerOptions;
  readonly #models = new Map<string, Entry>();
  /** Which model an instance serves. */
  readonly #instances = new Map<bigint, Entry>();
  /** Changes are made one after the other: loading a tokenizer takes time. */
  #queue: Promise<void> = Promise.resolve();

  constructor(options: ModelManagerOptions) {
    this.#options = options;
  }

  get models(): readonly ServedModel[] {
    return [...this.#models.values()];
  }

  get(name: string): ServedModel | undefined {
    return this.#models.get(name);
  }

  readonly added = (instance: Instance): void => this.#enqueue(() => this.#add(instance));

  readonly removed = (instanceId: bigint): void =>
    this.#enqueue(async () => {
      this.#remove(instanceId);
    });

  /** Resolves when everything reported so far is in effect. */
  settled(): Promise<void> {
    return this.#queue;
  }

  async close(): Promise<void> {
    await this.#queue;
    for (const model of this.#models.values()) await closeModel(model);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #enqueue(change: () => Promise<void>): void {
    this.#queue = this.#queue.then(change).catch((error: unknown) => this.#options.logger.error(`model discovery: ${(error as Error).message}`));
  }

  async #add(instance: Instance): Promise<void> {
    const { logger } = this.#options;
    const card = instance.modelCard;
    if (card === undefined || card.model_type !== 'chat' || instance.endpoints[endpointNames.generate]?.tcp === undefined) return;
    this.#remove(instance.instanceId);
    const former = this.#models.get(card.display_name);
    // Without workers nothing binds the name to what it was: a graph that is applied again may bring another model.
    const known = former !== undefined && former.workers.size === 0 && this.#conflict(card, former.card) !== undefined ? undefined : former;
    if (former !== known) {
      await closeModel(former);
    }
    const conflict = this.#conflict(card, known?.card);
    if (conflict !== undefined) {
      logger.error(`worker ${instance.pod ?? instance.instanceId} is not used: ${conflict}`, { model_name: card.display_name });
      return;
    }
    const model = known ?? (await this.#create(card));
    model.workers.set(instance.instanceId, instance);
    this.#instances.set(instance.instanceId, model);
    this.#tellRouter(model);
    model.follower?.add(instance);
    if (known === undefined || known.workers.size === 1)
      logger.info(`added model model_name="${model.name}"`, { namespace: instance.namespace, component: instance.component });
    logger.info('worker added', { worker_id: instance.instanceId, pod: instance.pod, model_name: model.name, workers: model.workers.size });
  }

  #remove(instanceId: bigint): void {
    const model = this.#instances.get(instanceId);
    if (model === undefined) return;
    const pod = model.workers.get(instanceId)?.pod;
    this.#instances.delete(instanceId);
    model.workers.delete(instanceId);
    model.follower?.remove(instanceId);
    this.#tellRouter(model);
    this.#options.logger.info('worker removed', { worker_id: instanceId, pod, model_name: model.name, workers: model.workers.size });
  }

  /** Blocks of different size, or of different weights, must never count as the same. */
  #conflict(card: ModelDeploymentCard, known: ModelDeploymentCard | undefined): string | undefined {
    const wanted = this.#options.blockSize;
    if (wanted !== undefined && card.kv_cache_block_size !== wanted)
      return `its KV blocks hold ${card.kv_cache_block_size} tokens, --kv-cache-block-size is ${wanted}`;
    if (known === undefined) return undefined;
    if (known.kv_cache_block_size !== card.kv_cache_block_size) {
      return `its KV blocks hold ${card.kv_cache_block_size} tokens, those of the model's other workers ${known.kv_cache_block_size}`;
    }
    if (known.engine.name !== card.engine.name) return `it computes with ${card.engine.name}, the model's other workers with ${known.engine.name}`;
    return undefined;
  }

  async #create(card: ModelDeploymentCard): Promise<Entry> {
    const { router: routerOptions, eventPlane, requests, logger, onKvEvent, onModel, loadCodec = loadTextCodec } = this.#options;
    const codec = await loadCodec(card.tokenizer_path);
    const encoder = new PromptEncoder({ dir: card.tokenizer_path, codec });
    const router = new KvRouter({ ...routerOptions, blockSize: card.kv_cache_block_size });
    const queue = this.#options.queue === undefined ? undefined : new RouterQueue({ router, ...this.#options.queue });
    const follows = eventPlane !== undefined && routerOptions.mode === 'kv';
    const follower = follows
      ? new KvEventFollower({ router, plane: eventPlane, requests, logger, ...(onKvEvent === undefined ? {} : { onApplied: onKvEvent }) })
      : undefined;
    const model: Entry = { name: card.display_name, card, codec, encoder, router, queue, follower, workers: new Map(), created: Math.floor(Date.now() / 1000) };
    this.#models.set(model.name, model);
    onModel?.(model);
    return model;
  }

  #tellRouter(model: Entry): void {
    model.router.setWorkers(
      [...model.workers.values()].map(({ instanceId, pod, modelCard }) => ({
        workerId: instanceId,
        ...(pod === undefined ? {} : { pod }),
        ...(modelCard === undefined ? {} : { totalKvBlocks: modelCard.total_kv_blocks, maxNumBatchedTokens: modelCard.max_num_batched_tokens }),
      })),
    );
  }
}

async function closeModel(model: Entry | undefined): Promise<void> {
  model?.queue?.[Symbol.dispose]();
  await model?.follower?.close();
  await model?.encoder.close();
}
