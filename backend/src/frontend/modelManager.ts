import type { ModelDeploymentCard } from '../protocol/index.ts';
import { loadTextCodec, PromptEncoder, type TextCodec } from '../preprocess/index.ts';
import { endpointNames, type Instance, type InstanceListener } from '../runtime/index.ts';
import { cardConflict } from './cardConflict.ts';
import { ServedModel } from './servedModel.ts';
import { WorkerPool, type WorkerPoolOptions } from './workerPool.ts';

export interface ModelManagerOptions extends WorkerPoolOptions {
  /** Refuse workers with another block size: their events would never match. */
  blockSize: number | undefined;
  /** Called when a model has its decode workers' pool (the model itself), and when it has its prefill workers'. */
  onPool?: (pool: WorkerPool, model: ServedModel) => void;
  onWorkerRemoved?: (workerId: bigint) => void;
  loadCodec?: (dir: string) => Promise<TextCodec>;
}

/** An instance with what makes it a worker. */
type Worker = Instance & { modelCard: ModelDeploymentCard };

/**
 * The models that discovery shows. A model stays known after its last worker left, so that its absence can be told from a wrong name.
 * Prefill workers serve the model of their name that decode workers have; without such they wait.
 */
export class ModelManager implements InstanceListener, AsyncDisposable {
  readonly #options: ModelManagerOptions;
  readonly #models = new Map<string, ServedModel>();
  /** Which pool a worker is in. */
  readonly #pools = new Map<bigint, WorkerPool>();
  /** All prefill workers, those that are in no pool too. */
  readonly #prefillWorkers = new Map<bigint, Worker>();
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

  /** Prefill workers of this name, whether or not they can be used. */
  prefillWorkers(name: string): number {
    return [...this.#prefillWorkers.values()].filter(({ modelCard }) => modelCard.display_name === name).length;
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
    for (const model of this.#models.values()) await model.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #enqueue(change: () => Promise<void>): void {
    this.#queue = this.#queue.then(change).catch((error: unknown) => this.#options.logger.error(`model discovery: ${(error as Error).message}`));
  }

  async #add(instance: Instance): Promise<void> {
    this.#remove(instance.instanceId);
    if (!isWorker(instance)) return;
    if (instance.modelCard.model_type === 'chat') await this.#addDecode(instance);
    else {
      this.#prefillWorkers.set(instance.instanceId, instance);
      this.#addPrefill(instance);
    }
  }

  async #addDecode(worker: Worker): Promise<void> {
    const { logger, blockSize } = this.#options;
    const card = worker.modelCard;
    const former = this.#models.get(card.display_name);
    // Without workers nothing binds the name to what it was: a graph that is applied again may bring another model.
    const replaced = former !== undefined && former.workers.size === 0 && cardConflict(card, former.card, blockSize) !== undefined;
    const known = replaced ? undefined : former;
    const conflict = cardConflict(card, known?.card, blockSize);
    if (conflict !== undefined) return this.#refuse(worker, conflict);
    if (replaced) await this.#forget(former);
    const model = known ?? (await this.#create(card));
    model.add(worker);
    this.#pools.set(worker.instanceId, model);
    if (known === undefined || known.workers.size === 1)
      logger.info(`added model model_name="${model.name}"`, { namespace: worker.namespace, component: worker.component });
    this.#log('worker added', worker, model);
    if (known === undefined) for (const waiting of this.#prefillWorkers.values()) if (waiting.modelCard.display_name === model.name) this.#addPrefill(waiting);
  }

  #addPrefill(worker: Worker): void {
    const { logger, blockSize, onPool } = this.#options;
    const card = worker.modelCard;
    const model = this.#models.get(card.display_name);
    if (model === undefined) {
      return logger.warn(`prefill worker ${worker.pod ?? worker.instanceId} waits: no decode worker serves its model yet`, { model_name: card.display_name });
    }
    const conflict = cardConflict(card, model.card, blockSize);
    if (conflict !== undefined) return this.#refuse(worker, conflict);
    const known = model.prefill;
    // What `/busy_threshold` changed holds for it too.
    model.prefill ??= new WorkerPool('prefill', card, { ...this.#options, router: { ...this.#options.router, busy: model.busy } });
    model.prefill.add(worker);
    this.#pools.set(worker.instanceId, model.prefill);
    if (known === undefined) onPool?.(model.prefill, model);
    if (model.prefill.workers.size === 1) logger.info('Prefill router activated: prompts go to prefill workers', { model_name: model.name });
    this.#log('prefill worker added', worker, model.prefill);
  }

  #remove(instanceId: bigint): void {
    this.#prefillWorkers.delete(instanceId);
    const pool = this.#pools.get(instanceId);
    const worker = pool?.workers.get(instanceId);
    if (pool === undefined || worker === undefined) return;
    this.#pools.delete(instanceId);
    pool.remove(instanceId);
    this.#options.onWorkerRemoved?.(instanceId);
    this.#log(pool.role === 'prefill' ? 'prefill worker removed' : 'worker removed', worker, pool);
    if (pool.role === 'prefill' && pool.workers.size === 0)
      this.#options.logger.warn('Prefill router deactivated: the last prefill worker is gone', { model_name: pool.name });
  }

  #refuse(worker: Worker, conflict: string): void {
    this.#options.logger.error(`worker ${worker.pod ?? worker.instanceId} is not used: ${conflict}`, {
      model_name: worker.modelCard.display_name,
      component: worker.component,
    });
  }

  #log(message: string, { instanceId, pod }: Instance, pool: WorkerPool): void {
    this.#options.logger.info(message, { worker_id: instanceId, pod, model_name: pool.name, workers: pool.workers.size });
  }

  async #create(card: ModelDeploymentCard): Promise<ServedModel> {
    const { onPool, loadCodec = loadTextCodec } = this.#options;
    const codec = await loadCodec(card.tokenizer_path);
    const encoder = new PromptEncoder({ dir: card.tokenizer_path, codec });
    const model = new ServedModel({ card, codec, encoder, options: this.#options });
    this.#models.set(model.name, model);
    onPool?.(model, model);
    return model;
  }

  /** Its prefill workers are looked at anew once the name means something again. */
  async #forget(model: ServedModel): Promise<void> {
    for (const id of model.prefill?.workers.keys() ?? []) this.#pools.delete(id);
    this.#models.delete(model.name);
    await model.close();
  }
}

function isWorker(instance: Instance): instance is Worker {
  return instance.modelCard !== undefined && instance.endpoints[endpointNames.generate]?.tcp !== undefined;
}
