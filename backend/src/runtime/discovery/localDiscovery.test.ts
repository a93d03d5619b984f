import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Discovery } from './discovery.ts';
import { discoveryContract, InstanceView, testInstance } from './discovery.contract.ts';
import { FileDiscovery } from './fileDiscovery.ts';
import { MemoryDiscovery, MemoryStore } from './memoryDiscovery.ts';

discoveryContract('mem', async () => {
  const store = new MemoryStore();
  const members: Discovery[] = [];
  return {
    join: () => {
      const member = new MemoryDiscovery(store);
      members.push(member);
      return member;
    },
    // One process: who dies, dies with the store.
    kill: async (member) => member.withdraw(),
    close: async () => void (await Promise.all(members.map((member) => member.close()))),
  };
});

discoveryContract('file', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-discovery-'));
  const members: Discovery[] = [];
  return {
    join: () => {
      const member = new FileDiscovery({ root, ttlMs: 300 });
      members.push(member);
      return member;
    },
    kill: async (member) => {
      const folder = path.join(root, 'v1/instances');
      const files = readdirSync(folder).map((name) => [path.join(folder, name), readFileSync(path.join(folder, name))] as const);
      await member.close();
      // What a dead process leaves: files that nobody touches.
      for (const [file, text] of files) writeFileSync(file, text);
    },
    close: async () => {
      await Promise.all(members.map((member) => member.close()));
      await rm(root, { recursive: true, force: true });
    },
  };
});

describe('file discovery', () => {
  it('stores what Dynamo’s file store stores, and outlives unreadable entries', async () => {
    const root = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-discovery-'));
    const bad: string[] = [];
    const worker = new FileDiscovery({ root, ttlMs: 10_000 });
    const watcher = new FileDiscovery({ root, ttlMs: 10_000, onBadEntry: (key) => bad.push(key) });
    await worker.register(testInstance);
    const key = `dynamo/backend/generate/${worker.instanceId.toString(16)}`;
    const file = path.join(root, 'v1/instances', encodeURIComponent(key));
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      type: 'Endpoint',
      namespace: 'dynamo',
      component: 'backend',
      endpoint: 'generate',
      instance_id: Number(worker.instanceId),
      transport: { tcp: '127.0.0.1:1' },
    });
    writeFileSync(path.join(root, 'v1/instances', 'broken'), '{not json');
    writeFileSync(path.join(root, 'v1/instances', 'wrong'), '{"type":"Endpoint"}');
    const view = new InstanceView();
    await watcher.watch(view);
    expect([...view.instances.keys()]).toEqual([worker.instanceId]);
    expect(bad).toContain('wrong');
    await worker.close();
    await watcher.close();
    await rm(root, { recursive: true });
  });
});
