import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ModelDeploymentCard } from '../../protocol/index.ts';
import type { Discovery, Instance } from './discovery.ts';

export interface DiscoveryRoom {
  /** Another member that sees the others. */
  join(): Discovery;
  /** Takes `member` away as a dying process would be: no withdrawal. Resolves when its lease can have run out. */
  kill(member: Discovery): Promise<void>;
  close(): Promise<void>;
}

export const testCard: ModelDeploymentCard = {
  display_name: 'Qwen/Qwen2.5-1.5B-Instruct',
  model_type: 'chat',
  context_length: 2048,
  kv_cache_block_size: 16,
  total_kv_blocks: 256,
  max_num_seqs: 16,
  max_num_batched_tokens: 2048,
  migration_limit: 0,
  eos_token_ids: [2],
  tokenizer_path: '/models/tiny',
  engine: { name: 'tiny', architecture: 'llama', parameters: 1_000_000, stand_in: true, kv_bytes_per_block: 4096, fingerprint: 'f00' },
  kv_events: 'zmq',
};

export const testInstance: Omit<Instance, 'instanceId' | 'pod'> = {
  namespace: 'dynamo',
  component: 'backend',
  endpoints: { generate: { tcp: '127.0.0.1:1' }, kv_events: { tcp: '127.0.0.1:1' } },
  modelCard: testCard,
  eventChannels: { 'kv-events': { kind: 'Zmq', endpoint: 'tcp://127.0.0.1:2' } },
};

/** Records what a watch reports and waits for a state of it. */
export class InstanceView {
  readonly instances = new Map<bigint, Instance>();
  readonly log: string[] = [];
  #waiting: (() => void) | undefined;

  readonly added = (instance: Instance): void => {
    this.instances.set(instance.instanceId, instance);
    this.log.push('added');
    this.#waiting?.();
  };

  readonly removed = (id: bigint): void => {
    this.instances.delete(id);
    this.log.push('removed');
    this.#waiting?.();
  };

  async until(condition: (instances: Map<bigint, Instance>) => boolean): Promise<void> {
    const deadline = setTimeout(() => this.#waiting?.(), 10_000);
    const end = Date.now() + 10_000;
    while (!condition(this.instances)) {
      if (Date.now() >= end) throw new Error(`not seen within 10 s; seen: ${this.log.join(', ')}`);
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
    clearTimeout(deadline);
  }
}

/** What every discovery backend must do. */
export function discoveryContract(name: string, create: () => Promise<DiscoveryRoom>): void {
  describe(`discovery contract: ${name}`, () => {
    let room: DiscoveryRoom;
    beforeEach(async () => {
      room = await create();
    });
    afterEach(async () => room.close());

    it('reports what is there already and what comes later', async () => {
      const [early, late, watcher] = [room.join(), room.join(), room.join()];
      await early.register(testInstance);
      const view = new InstanceView();
      await watcher.watch(view);
      await view.until((instances) => instances.has(early.instanceId));
      await late.register({ ...testInstance, component: 'prefill' });
      await view.until((instances) => instances.size === 2);
      expect(view.instances.get(late.instanceId)?.component).toBe('prefill');
    });

    it('carries endpoints, model card and event channels whole', async () => {
      const [worker, watcher] = [room.join(), room.join()];
      const view = new InstanceView();
      await watcher.watch(view);
      await worker.register(testInstance);
      await view.until((instances) => instances.size === 1);
      expect(view.instances.get(worker.instanceId)).toMatchObject({ ...testInstance, instanceId: worker.instanceId });
      expect(view.instances.get(worker.instanceId)?.modelCard).toEqual(testCard);
    });

    it('reports a changed record as added again', async () => {
      const [worker, watcher] = [room.join(), room.join()];
      const view = new InstanceView();
      await watcher.watch(view);
      await worker.register(testInstance);
      await view.until((instances) => instances.size === 1);
      await worker.register({ ...testInstance, endpoints: { generate: { tcp: '127.0.0.1:9' } } });
      await view.until((instances) => instances.get(worker.instanceId)?.endpoints['generate']?.tcp === '127.0.0.1:9');
      expect(view.log).not.toContain('removed');
    });

    it('reports a withdrawal', async () => {
      const [worker, watcher] = [room.join(), room.join()];
      const view = new InstanceView();
      await watcher.watch(view);
      await worker.register(testInstance);
      await view.until((instances) => instances.size === 1);
      await worker.withdraw();
      await view.until((instances) => instances.size === 0);
      await worker.withdraw();
    });

    it('forgets a member that dies without a word', async () => {
      const [worker, watcher] = [room.join(), room.join()];
      const view = new InstanceView();
      await watcher.watch(view);
      await worker.register(testInstance);
      await view.until((instances) => instances.size === 1);
      await room.kill(worker);
      await view.until((instances) => instances.size === 0);
    });

    it('filters by namespace', async () => {
      const [a, b, watcher] = [room.join(), room.join(), room.join()];
      const view = new InstanceView();
      await watcher.watch(view, { namespace: 'mine' });
      await a.register({ ...testInstance, namespace: 'other' });
      await b.register({ ...testInstance, namespace: 'mine' });
      await view.until((instances) => instances.size === 1);
      expect([...view.instances.keys()]).toEqual([b.instanceId]);
    });

    it('a disposed watch stays silent', async () => {
      const [worker, watcher] = [room.join(), room.join()];
      const [silent, view] = [new InstanceView(), new InstanceView()];
      (await watcher.watch(silent))[Symbol.dispose]();
      await watcher.watch(view);
      await worker.register(testInstance);
      await view.until((instances) => instances.size === 1);
      expect(silent.log).toEqual([]);
    });

    it('closing withdraws and may be done twice', async () => {
      const [worker, watcher] = [room.join(), room.join()];
      const view = new InstanceView();
      await watcher.watch(view);
      await worker.register(testInstance);
      await view.until((instances) => instances.size === 1);
      await worker.close();
      await worker.close();
      await view.until((instances) => instances.size === 0);
    });
  });
}
