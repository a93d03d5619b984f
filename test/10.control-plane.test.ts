import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAlive } from '../backend/src/controlplane/processIdentity.ts';
import { type Stack, startStack } from './support/stack.ts';

describe('control plane', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ components: ['controlplane'] });
  });
  afterAll(() => stack.close());

  it('serves the API of the pinned version to the real kubectl', async () => {
    const version = JSON.parse((await stack.kubectl(['version', '-o', 'json'])).stdout) as {
      clientVersion: { gitVersion: string };
      serverVersion: { gitVersion: string };
    };
    expect(version.serverVersion.gitVersion).toMatch(/^v1\.36\./);
    expect(version.clientVersion.gitVersion).toMatch(/^v1\.36\./);
  });

  it('runs the controllers: a Deployment gets its ReplicaSet and pods, the scheduler says why they wait', async () => {
    expect((await stack.kubectl(['create', 'deployment', 'web', '--image=busybox'])).code).toBe(0);
    await expect
      .poll(async () => (await stack.kubectl(['get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.conditions[*].message}'])).stdout, {
        timeout: 15_000,
      })
      .toContain('no nodes available');
  });

  it('gives the kubernetes Service its endpoints', async () => {
    const port = new URL(stack.local.server).port;
    expect((await stack.kubectl(['get', 'endpointslice', 'kubernetes', '-o', 'jsonpath={.ports[0].port}'])).stdout).toBe(port);
  });

  it('keeps every key and record readable by its owner alone', () => {
    const files = ['pki', 'run'].flatMap((dir) => readdirSync(path.join(stack.home, dir)).map((name) => path.join(stack.home, dir, name)));
    const open = [...files, stack.kubeconfig].filter((file) => statSync(file).isFile() && (statSync(file).mode & 0o077) !== 0);
    expect(open).toEqual([]);
  });
});

describe('stop', () => {
  it('leaves no process behind', async () => {
    const stack = await startStack({ components: ['controlplane'] });
    const identities = stack.local.supervisor.processes.map((managed) => managed.identity);
    expect(identities).toHaveLength(4);
    await stack.close();
    expect(identities.filter((identity) => identity !== undefined && isAlive(identity))).toEqual([]);
  });
});
