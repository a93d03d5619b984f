import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isAlive, readRecord } from '../backend/src/controlplane/index.ts';
import type { StackStatus } from '../backend/src/controlplane/stackStatus.ts';
import { CommandLine, type RunningCommand } from './support/commandLine.ts';

const only = ['--parts', 'controlplane'];

describe('a running stack', () => {
  const cli = new CommandLine();
  let running: RunningCommand;
  const kubeconfigBefore = ownKubeconfig();
  const status = async (): Promise<StackStatus> => JSON.parse((await cli.run(['status', '--json'])).output) as StackStatus;
  beforeAll(async () => {
    running = cli.start(['start', ...only]);
    await running.says('is ready');
  });
  afterAll(() => cli.close());

  it('shows each process with state, pid, memory, ports and log', async () => {
    const current = await status();
    expect(current).toEqual({
      ready: true,
      url: null,
      kubeconfig: cli.layout.kubeconfig,
      backend: null,
      podNet: null,
      processes: expect.any(Array) as unknown,
    });
    expect(current.processes.map(({ name }) => name).sort()).toEqual(['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'supervisor']);
    const apiserver = current.processes.find(({ name }) => name === 'kube-apiserver');
    expect(apiserver).toMatchObject({ state: 'running', ports: [expect.any(Number)] });
    expect(apiserver?.rssBytes).toBeGreaterThan(50e6);
    expect(statSync(apiserver?.log ?? '').mode & 0o077).toBe(0);
    expect((await cli.run(['status'])).output).toMatch(/PROCESS +STATE +PID[^]*kube-apiserver +running/);
  });

  it('is not started a second time: the second start says so and ends well', async () => {
    const second = await cli.run(['start', ...only]);
    expect(second.output).toMatch(/runs already \(process \d+\)/);
    expect(second.code).toBe(0);
  });

  it('is not reset', async () => {
    const reset = await cli.run(['reset', '--yes']);
    expect(reset.code).not.toBe(0);
    expect(reset.output).toContain('npm stop && npm run reset');
    expect((await status()).ready).toBe(true);
  });

  it('starts a component again that dies, and tells', async () => {
    const before = (await status()).processes.find(({ name }) => name === 'kube-scheduler')?.pid ?? 0;
    process.kill(before, 'SIGKILL');
    await running.says('kube-scheduler runs again');
    expect(running.output()).toContain('kube-scheduler was ended by SIGKILL: it is started again in 0.5 s');
    const after = await status();
    expect(after.ready).toBe(true);
    expect(after.processes.find(({ name }) => name === 'kube-scheduler')?.pid).not.toBe(before);
  });

  it("never touches the person's own kubeconfig", () => {
    expect(ownKubeconfig()).toBe(kubeconfigBefore);
    expect(statSync(cli.layout.kubeconfig).mode & 0o777).toBe(0o600);
  });

  it('that was killed is found by the next start, which ends what it left and comes up', async () => {
    const left = readRecord(cli.layout)?.processes ?? [];
    running.child.kill('SIGKILL');
    await running.exited;
    expect(left.filter(isAlive)).toHaveLength(4);
    const orphaned = await status();
    expect(orphaned.ready).toBe(false);
    expect(new Set(orphaned.processes.map(({ state }) => state))).toEqual(new Set(['orphaned']));
    running = cli.start(['start', ...only]);
    await running.says('is ready');
    expect(left.filter(isAlive)).toEqual([]);
  });

  it('is stopped by `stop` without leaving a process or a socket', async () => {
    const processes = readRecord(cli.layout)?.processes ?? [];
    const stop = await cli.run(['stop']);
    expect(stop).toMatchObject({ code: 0, output: expect.stringContaining('Stopped.') as unknown });
    expect((await running.exited).code).toBe(0);
    expect(processes.filter(isAlive)).toEqual([]);
    expect(existsSync(cli.layout.sockets) ? readdirSync(cli.layout.sockets).filter((name) => name.endsWith('.sock')) : []).toEqual([]);
    expect((await cli.run(['stop'])).output).toContain('does not run');
    expect(await status()).toEqual({ ready: false, url: null, kubeconfig: null, backend: null, podNet: null, processes: [] });
  });
});

describe('a start', () => {
  let cli: CommandLine;
  afterEach(() => cli.close());

  it('that is interrupted half-way leaves nothing running', async () => {
    cli = new CommandLine();
    const running = cli.start(['start', ...only]);
    await expect.poll(() => readRecord(cli.layout)?.processes.find(({ name }) => name === 'kube-apiserver')?.pid ?? 0, { timeout: 60_000 }).toBeGreaterThan(0);
    const processes = readRecord(cli.layout)?.processes ?? [];
    running.child.kill('SIGINT');
    expect((await running.exited).code).toBe(130);
    expect(processes.filter(isAlive)).toEqual([]);
    expect(readRecord(cli.layout)).toBeUndefined();
  });

  it.each([
    [['start', '--nodes', 'many'], '--nodes must be a whole number'],
    [['start', '--parts', 'everything'], 'There is no part "everything"'],
    [['reset'], 'npm run reset -- --yes'],
    [['fly'], 'There is no command "fly"'],
  ])('%j is refused with one message', async (args, message) => {
    cli = new CommandLine();
    mkdirSync(cli.layout.etcd, { recursive: true });
    const result = await cli.run(args);
    expect(result.output).toContain(message);
    expect(result.output).not.toMatch(/^\s+at /m);
    expect(result.code).not.toBe(0);
  });

  it('names the port that is in use, and how to find who has it', async () => {
    cli = new CommandLine();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const result = await cli.run(['start', '--parts', 'controlplane,jupyter'], { DYNAMO_LABS_JUPYTER_PORT: String(port) });
    server.close();
    expect(result.output).toContain(`Port ${port} (DYNAMO_LABS_JUPYTER_PORT) is in use`);
    expect(result.code).toBe(1);
    expect(readRecord(cli.layout)).toBeUndefined();
  });
});

describe('reset', () => {
  it('removes data, keys and notebooks, and keeps the cache and whatever else lies in the folder', async () => {
    const cli = new CommandLine();
    const { layout } = cli;
    const cache = path.join(layout.home, 'cache');
    for (const dir of [layout.etcd, layout.pki, layout.work, layout.progress, path.join(cache, 'models'), path.join(layout.home, 'mine')]) {
      mkdirSync(dir, { recursive: true });
      writeFileSync(path.join(dir, 'file'), '');
    }
    const result = await cli.run(['reset', '--yes'], { DYNAMO_LABS_CACHE: cache });
    expect(result.code).toBe(0);
    expect(readdirSync(layout.home).sort()).toEqual(['cache', 'mine']);
    expect(readdirSync(path.join(cache, 'models'))).toEqual(['file']);
    await cli.close();
  });
});

function ownKubeconfig(): string | undefined {
  const file = path.join(homedir(), '.kube', 'config');
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
