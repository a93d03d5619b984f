import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stateLayout } from '../backend/src/controlplane/stateLayout.ts';
import { createPodNet, isAlive } from '../backend/src/nodeagent/podnet/index.ts';
import { eventually, pod, programOf, run, startGreeter, textOf } from '../backend/src/nodeagent/podnet/podNetTesting.ts';
import type { PodNet, PodSandbox } from '../backend/src/nodeagent/podnet/podNet.ts';
import { probePodNet } from '../backend/src/nodeagent/podnet/probePodNet.ts';
import { buildPodinit } from '../native/podinit/build.mjs';
import { makePodNet } from './support/podNetDrivers.ts';

interface Identity {
  pid: number;
  startTime: number;
}

let dir: string;

beforeAll(() => {
  buildPodinit();
  dir = mkdtempSync(path.join(tmpdir(), 'podsandbox-'));
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('what only the namespaces driver has', () => {
  let net: PodNet;
  let sandbox: PodSandbox;
  const record = (): { owner: Identity } => JSON.parse(readFileSync(path.join(dir, 'net', 'driver.json'), 'utf8')) as { owner: Identity };
  const sh = async (script: string, container?: Identity): Promise<string> => {
    const { stdout, stderr } = await run(sandbox, programOf(['sh', '-c', script], container === undefined ? {} : { container }));
    return (stdout + stderr).trim();
  };

  beforeAll(async () => {
    net = makePodNet('namespaces', path.join(dir, 'net'));
    await net.start(AbortSignal.timeout(10_000));
    sandbox = await net.createSandbox(pod('web-0', { namespace: 'shop', hostAliases: [{ ip: '10.1.2.3', hostnames: ['db', 'db.internal'] }] }));
  });

  afterAll(() => net.close({ keepPods: false }));

  test('the host is out of sight: home directories, processes, secrets, temporary files', async () => {
    writeFileSync(path.join(dir, 'secret'), 'secret');
    // Of these only the way to the project and to Node.js, if they lie there.
    const shared = [path.resolve(import.meta.dirname, '..'), path.dirname(process.execPath)];
    for (const place of ['/home', '/root', '/tmp']) {
      const way = shared.filter((each) => each.startsWith(`${place}/`)).map((each) => each.split('/')[2]);
      expect(await sh(`ls -A ${place}`)).toBe([...new Set(way)].toSorted().join('\n'));
    }
    expect(await sh(`cat ${path.join(dir, 'secret')} 2>&1`)).toMatch(/No such file/);
    expect(await sh(`ls -A ${homedir()}/.ssh 2>&1`)).toMatch(/No such file/);
    expect(await sh('cat /etc/shadow 2>&1')).toMatch(/No such file/);
    expect(await sh('touch /usr/x 2>&1')).toMatch(/Read-only/);
    expect(await sh('for d in /tmp /root /workspace /var /run /home; do touch $d/x || echo no $d; done')).toBe('');
    expect(await sh('cat /proc/mounts')).not.toContain('old_root');
  });

  test("the host's processes are out of sight", async (context) => {
    // A container runtime that hides parts of /proc makes the kernel refuse fresh ones: then pods see that one.
    if ((await sh('cat /proc/1/comm')) !== 'podinit') context.skip('the kernel allows no fresh /proc here');
    const container = await sandbox.spawn(programOf(['sh', '-c', 'sleep 1000']));
    const processes = await sh('for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done', container);
    expect(processes).toContain('sleep 1000');
    expect(processes).not.toContain('vitest');
    container.kill('SIGKILL');
    await container.exited;
  });

  test("the pod's own /etc and host name", async () => {
    expect(await sh('hostname; cat /etc/hostname')).toBe('web-0\nweb-0');
    expect(await sh('cat /etc/resolv.conf')).toBe('search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5');
    expect(await sh('getent hosts db.internal web-0')).toContain('10.1.2.3');
    expect(await sh('getent hosts web-0')).toContain(sandbox.ip);
    expect(await sh('ls /etc/ssl /etc/passwd >/dev/null && id -un')).toBe('root');
  });

  test('devices, shared memory, a read-only mount; output through /dev/stdout', async () => {
    expect(await sh('echo x > /dev/null && head -c 3 /dev/urandom | wc -c && touch /dev/shm/x && echo ok > /dev/stdout')).toBe('3\nok');
    mkdirSync(path.join(dir, 'ro'), { recursive: true });
    const mounts = [{ source: path.join(dir, 'ro'), target: '/var/run/secrets/token', readOnly: true }];
    const { stderr } = await run(sandbox, programOf(['sh', '-c', 'touch /var/run/secrets/token/x'], { mounts }));
    expect(stderr).toMatch(/Read-only/);
  });

  test('each container starts with fresh files and processes; an exec shares both with it', async () => {
    const container = await sandbox.spawn(programOf(['sh', '-c', 'echo mine > /tmp/mark; sleep 1000']));
    await eventually(async () => (await sh('cat /tmp/mark 2>/dev/null', container)) === 'mine', 'the mark of the container');
    expect(await sh('cat /tmp/mark 2>/dev/null; echo none')).toBe('none');
    // As in a container with an init: a signal to process 1 ends the program.
    await sh('kill 1', container);
    expect(await container.exited).toEqual({ exitCode: 143, signal: 15 });
  });

  test('a mount may lie below a read-only program directory; the rest of that stays', async () => {
    writeFileSync(path.join(dir, 'ro', 'file'), 'mounted');
    const source = path.join(dir, 'ro');
    for (const target of ['/usr/share/not-there/data', '/opt/models', '/etc/ssl/mine/certs']) {
      const script = `cat ${target}/file && ls -d /usr/share/doc /usr/bin/env /etc/ssl/certs`;
      const { stdout, stderr } = await run(sandbox, programOf(['sh', '-c', script], { mounts: [{ source, target }] }));
      expect(stdout + stderr).toBe('mounted/etc/ssl/certs\n/usr/bin/env\n/usr/share/doc\n');
    }
    await expect(sandbox.spawn(programOf(['true'], { mounts: [{ source: '/no/such/dir', target: '/data' }] }))).rejects.toThrow(/mount source \/no\/such\/dir/);
  });

  test("the host's mounts and interfaces stay as they are; a pod's interface goes with it", async () => {
    const before = readFileSync('/proc/self/mounts', 'utf8') + readFileSync('/proc/net/dev', 'utf8').replace(/\d+/g, '');
    const other = await net.createSandbox(pod('other'));
    await startGreeter(other, 'other', [8000], dir);
    const interfaces = (): number => readFileSync(`/proc/${record().owner.pid}/net/dev`, 'utf8').match(/\bv0af4/g)?.length ?? 0;
    expect(interfaces()).toBe(2);
    await other.destroy();
    expect(interfaces()).toBe(1);
    expect(readFileSync('/proc/self/mounts', 'utf8') + readFileSync('/proc/net/dev', 'utf8').replace(/\d+/g, '')).toBe(before);
  });

  test('a helper that dies is started again; a network that dies takes its pods along and is made anew', async () => {
    process.kill(doorOf(path.join(dir, 'net')), 'SIGKILL');
    await eventually(async () => {
      const listener = await net.listen('10.96.0.99', 7, (socket) => socket.end('back'));
      expect(await textOf(await net.dial('10.96.0.99', 7, AbortSignal.timeout(3000)))).toBe('back');
      await listener[Symbol.asyncDispose]();
      return true;
    }, 'the helper to come back');

    const running = await startGreeter(sandbox, 'running', [8000], dir);
    const { owner } = record();
    process.kill(owner.pid, 'SIGKILL');
    await eventually(() => !isAlive(owner), 'the end of the owner');
    const next = makePodNet('namespaces', path.join(dir, 'net'));
    await next.start(AbortSignal.timeout(10_000));
    await eventually(() => !isAlive(running), 'the end of the pod without a network');
    expect(await next.recoverSandbox(pod('web-0'))).toBeUndefined();
    await next.close({ keepPods: false });
  });
});

describe('choice of the driver', () => {
  const layout = (name: string): ReturnType<typeof stateLayout> => stateLayout({ DYNAMO_LABS_HOME: path.join(dir, name), HOME: dir });

  test('auto: namespaces where a real try works, else the loopback map with the reason', async () => {
    const refusal = await probePodNet((where) => makePodNet('namespaces', where));
    const reasons: string[] = [];
    const chosen = await createPodNet({ mode: 'auto', layout: layout('auto'), onFallback: (reason) => reasons.push(reason) });
    expect(chosen.driver).toBe(refusal === undefined ? 'namespaces' : 'loopback');
    expect(reasons).toEqual(refusal === undefined ? [] : [refusal]);
  });

  test('a probe names what failed', async () => {
    const reason = await probePodNet((where) => {
      const net = makePodNet('namespaces', where);
      net.start = () => Promise.reject(new Error('podinit owner: make a user namespace: Operation not permitted'));
      return net;
    });
    expect(reason).toBe('podinit owner: make a user namespace: Operation not permitted');
  });

  test('a forced mode is kept', async () => {
    expect((await createPodNet({ mode: 'loopback', layout: layout('forced') })).driver).toBe('loopback');
    expect((await createPodNet({ mode: 'namespaces', layout: layout('forced') })).driver).toBe('namespaces');
  });
});

describe('what only the loopback driver has', () => {
  test('two clusters on one machine do not meet; a statically linked program is refused unless it knows its address', async () => {
    const nets = [makePodNet('loopback', path.join(dir, 'one')), makePodNet('loopback', path.join(dir, 'two'))];
    for (const net of nets) await net.start(AbortSignal.timeout(5000));
    const sandboxes = await Promise.all(nets.map((net) => net.createSandbox(pod('same'))));
    const [one, two] = sandboxes as [PodSandbox, PodSandbox];
    expect(one.ip).toBe(two.ip);
    expect(one.hostIp).not.toBe(two.hostIp);
    for (const sandbox of [one, two]) await startGreeter(sandbox, sandbox === one ? 'one' : 'two', [8000, '0.0.0.0'], dir);
    for (const [sandbox, name] of [
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      await eventually(async () => (await textOf(await sandbox.dialLocal(8000, AbortSignal.timeout(1000)))).startsWith(name), `the server of ${name}`);
    }
    const { program } = buildPodinit();
    await expect(one.spawn(programOf([program, 'usage']))).rejects.toThrow(/statically linked programs cannot get a pod address/);
    const told = await one.spawn(programOf([program, 'usage', one.hostIp ?? '']));
    expect(await textOf(told.stderr)).toMatch(/usage/);
    for (const net of nets) await net.close({ keepPods: false });
  });
});

/** The helper of a driver of this process. */
function doorOf(marker: string): number {
  const pids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').map(Number);
  const found = pids.find((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words[1] === 'door' && words[2] === marker;
  });
  if (found === undefined) throw new Error('no helper');
  return found;
}
