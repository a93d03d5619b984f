import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ components: ['controlplane', 'nodeagent'] });
});
afterAll(() => stack.close());

const kubectl = (...args: string[]): Promise<string> => stack.kubectlOutput(args);

function agentPid(): number | undefined {
  const file = path.join(stack.home, 'run/node-agent.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { pid: number }).pid : undefined;
}

/** Ends the agent without a chance to clean up; `meanwhile` runs before the supervisor's next one is ready. */
async function killAgent(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  const before = agentPid()!;
  process.kill(before, 'SIGKILL');
  await meanwhile();
  await expect.poll(() => agentPid() ?? before, { timeout: 60_000 }).not.toBe(before);
}

const runs = async (name: string): Promise<string> =>
  kubectl(
    'get',
    'pod',
    name,
    '-o',
    'jsonpath={.metadata.uid} {.status.podIP} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}',
  );

describe('when the node agent is killed and started again', () => {
  it('a running pod is the same pod: same process, address and count, no line lost or doubled', async () => {
    await kubectl('run', 'ticks', '--image=busybox', '--', 'sh', '-c', 'i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.1; done');
    await kubectl('wait', 'pod/ticks', '--for=condition=Ready', '--timeout=30s');
    const before = await runs('ticks');
    const shell = await kubectl('exec', 'ticks', '--', 'sh', '-c', 'ps ax -o lstart,args | grep "[t]ick"');
    await killAgent();
    await expect.poll(async () => (await stack.kubectl(['exec', 'ticks', '--', 'true'])).code, { timeout: 20_000 }).toBe(0);
    expect(await runs('ticks')).toBe(before);
    expect(await kubectl('exec', 'ticks', '--', 'sh', '-c', 'ps ax -o lstart,args | grep "[t]ick"')).toBe(shell);
    const numbers = (await kubectl('logs', 'ticks'))
      .trim()
      .split('\n')
      .map((line) => Number(line.split(' ')[1]));
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => index + 1));
  });

  it('a container that ended meanwhile keeps its exit code', async () => {
    await kubectl('run', 'ending', '--image=busybox', '--restart=Never', '--', 'sh', '-c', 'while [ ! -f /tmp/end ]; do sleep 0.1; done; echo done; exit 6');
    await kubectl('wait', 'pod/ending', '--for=condition=Ready', '--timeout=30s');
    await kubectl('exec', 'ending', '--', 'sh', '-c', '(sleep 0.5; touch /tmp/end) >/dev/null 2>&1 &');
    await killAgent();
    await expect
      .poll(() => kubectl('get', 'pod', 'ending', '-o', 'jsonpath={.status.phase} {.status.containerStatuses[0].state.terminated.exitCode}'), {
        timeout: 20_000,
      })
      .toBe('Failed 6');
    expect(await kubectl('logs', 'ending')).toBe('done\n');
  });

  it('a pod that was deleted meanwhile is ended', async () => {
    await kubectl('run', 'deleted', '--image=busybox', '--', 'sleep', '4243');
    await kubectl('wait', 'pod/deleted', '--for=condition=Ready', '--timeout=30s');
    const uid = await kubectl('get', 'pod', 'deleted', '-o', 'jsonpath={.metadata.uid}');
    await killAgent(() => kubectl('delete', 'pod', 'deleted', '--force', '--grace-period=0').then(() => {}));
    await expect.poll(() => existsSync(path.join(stack.home, 'pods', uid)), { timeout: 20_000 }).toBe(false);
    await expect.poll(() => existsSync(path.join(stack.home, 'run/podnet/sandboxes', uid)), { timeout: 20_000 }).toBe(false);
  });

  it('an interactive pod is started again, once', async () => {
    const container = { name: 'main', image: 'busybox', stdin: true, tty: true, command: ['sh', '-c', 'echo up; cat'] };
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'shell' }, spec: { containers: [container] } };
    expect((await stack.kubectl(['apply', '-f', '-'], { input: JSON.stringify(pod) })).code).toBe(0);
    await kubectl('wait', 'pod/shell', '--for=condition=Ready', '--timeout=30s');
    await killAgent();
    await expect
      .poll(() => kubectl('get', 'pod', 'shell', '-o', 'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}'), {
        timeout: 20_000,
      })
      .toBe('1 true');
    expect((await kubectl('exec', 'shell', '--', 'sh', '-c', 'ps ax -o comm | grep -c "^cat$"')).trim()).toBe('1');
  });
});

describe('when the node agent is stopped in order and started again', () => {
  it('its pods ended with it, and start again under the same name with a new process', async () => {
    await kubectl('create', 'deployment', 'again', '--image=busybox', '--', 'sleep', '4244');
    await kubectl('wait', 'deployment/again', '--for=condition=Available', '--timeout=30s');
    const before = agentPid()!;
    process.kill(before, 'SIGTERM');
    await expect.poll(() => agentPid() ?? before, { timeout: 60_000 }).not.toBe(before);
    const state = '{range .items[*]}{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready} {.status.podIPs[*].ip}{end}';
    await expect.poll(() => kubectl('get', 'pods', '-l', 'app=again', '-o', `jsonpath=${state}`), { timeout: 30_000 }).toMatch(/^1 true 10\.244\.\d+\.\d+$/);
  });
});
