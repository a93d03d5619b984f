import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { podCommands } from './support/podCommands.ts';
import { type Stack, startStack } from './support/stack.ts';

/** The driver that this machine gives, and the loopback map, which every machine can do. */
describe.each(['auto', 'loopback'] as const)('pod network: %s', (podNet) => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ podNet, components: ['controlplane', 'nodeagent'] });
  });
  afterAll(() => stack.close());

  const { kubectl, applyPod, sh, path1, eventsOf, idle } = podCommands(() => stack);

  describe('how a pod ends', () => {
    it('Succeeded, when every container ended with 0', async () => {
      await applyPod('good', sh('exit 0'), { restartPolicy: 'Never' });
      await expect.poll(() => path1('good', '{.status.phase}')).toBe('Succeeded');
      expect(await path1('good', '{.status.containerStatuses[0].state.terminated.reason}')).toBe('Completed');
      expect(await path1('good', '{.status.conditions[?(@.type=="Ready")].reason}')).toBe('PodCompleted');
    });

    it('Failed, with the exit code, when one did not', async () => {
      await applyPod('bad', sh('echo last words; exit 7'), { restartPolicy: 'Never' });
      await expect.poll(() => path1('bad', '{.status.phase}')).toBe('Failed');
      expect(await path1('bad', '{.status.containerStatuses[0].state.terminated.exitCode} {.status.containerStatuses[0].state.terminated.reason}')).toBe(
        '7 Error',
      );
      expect(await kubectl('logs', 'bad')).toBe('last words\n');
    });

    it('a Job completes', async () => {
      await kubectl('create', 'job', 'once', '--image=busybox', '--', 'true');
      await kubectl('wait', 'job/once', '--for=condition=Complete', '--timeout=20s');
    });

    it('DeadlineExceeded, when it was active too long', async () => {
      await applyPod('late', sh(idle), { activeDeadlineSeconds: 1, terminationGracePeriodSeconds: 1 });
      await expect.poll(() => path1('late', '{.status.phase} {.status.reason}'), { timeout: 10_000 }).toBe('Failed DeadlineExceeded');
    });
  });

  describe('restarts', () => {
    it('a container that keeps failing goes into CrashLoopBackOff; logs --previous shows the run before', async () => {
      await applyPod('crash', sh('echo run; exit 1'));
      await expect.poll(() => path1('crash', '{.status.containerStatuses[0].state.waiting.reason}'), { timeout: 15_000 }).toBe('CrashLoopBackOff');
      const uid = await path1('crash', '{.metadata.uid}');
      expect(await path1('crash', '{.status.containerStatuses[0].state.waiting.message}')).toMatch(
        new RegExp(`^back-off \\d+s restarting failed container=main pod=crash_default\\(${uid}\\)$`),
      );
      expect(await path1('crash', '{.status.phase} {.status.containerStatuses[0].lastState.terminated.exitCode}')).toBe('Running 1');
      expect(Number(await path1('crash', '{.status.containerStatuses[0].restartCount}'))).toBeGreaterThan(0);
      expect(await kubectl('logs', 'crash', '--previous')).toBe('run\n');
      await expect.poll(() => eventsOf('crash')).toContain(`BackOff: Back-off restarting failed container main in pod crash_default(${uid})`);
      expect(await kubectl('get', 'pod', 'crash')).toContain('CrashLoopBackOff');
    });

    it('OnFailure restarts a failure, and keeps a success', async () => {
      await applyPod(
        'retry',
        { ...sh('test -f /data/second || { touch /data/second; exit 1; }'), volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        { restartPolicy: 'OnFailure', volumes: [{ name: 'data', emptyDir: {} }] },
      );
      await expect.poll(() => path1('retry', '{.status.phase} {.status.containerStatuses[0].restartCount}'), { timeout: 15_000 }).toBe('Succeeded 1');
    });
  });

  describe('what keeps a container from starting', () => {
    it('an unknown image: ErrImagePull, then ImagePullBackOff', async () => {
      await applyPod('unknown', { image: 'example.com/nobody/nothing:1' });
      await expect.poll(() => path1('unknown', '{.status.containerStatuses[0].state.waiting.reason}'), { timeout: 10_000, interval: 100 }).toBe('ErrImagePull');
      await expect.poll(() => path1('unknown', '{.status.containerStatuses[0].state.waiting.reason}'), { timeout: 10_000 }).toBe('ImagePullBackOff');
      expect(await path1('unknown', '{.status.phase}')).toBe('Pending');
      const events = await eventsOf('unknown');
      for (const text of [
        'Pulling: Pulling image "example.com/nobody/nothing:1"',
        'Failed: Failed to pull image "example.com/nobody/nothing:1"',
        'Failed: Error: ErrImagePull',
        'BackOff: Back-off pulling image "example.com/nobody/nothing:1"',
      ])
        expect(events).toContain(text);
    });

    it('a missing Secret: CreateContainerConfigError, until it is there', async () => {
      await applyPod('secretive', {
        ...sh(`echo token=$TOKEN; ${idle}`),
        env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'hf-token', key: 'token' } } }],
      });
      await expect.poll(() => path1('secretive', '{.status.containerStatuses[0].state.waiting.reason}')).toBe('CreateContainerConfigError');
      expect(await path1('secretive', '{.status.containerStatuses[0].state.waiting.message}')).toBe('secret "hf-token" not found');
      expect(await eventsOf('secretive')).toContain('Failed: Error: secret "hf-token" not found');
      await kubectl('create', 'secret', 'generic', 'hf-token', '--from-literal=other=1');
      await expect
        .poll(() => path1('secretive', '{.status.containerStatuses[0].state.waiting.message}'), { timeout: 10_000 })
        .toBe("couldn't find key token in Secret default/hf-token");
      await kubectl('delete', 'secret', 'hf-token');
      await kubectl('create', 'secret', 'generic', 'hf-token', '--from-literal=token=abc');
      await kubectl('wait', 'pod/secretive', '--for=condition=Ready', '--timeout=20s');
      await expect.poll(() => kubectl('logs', 'secretive')).toBe('token=abc\n');
    });

    it('a missing Secret volume: FailedMount, until it is there', async () => {
      await applyPod(
        'mounting',
        { ...sh(`cat /etc/creds/user; echo; ${idle}`), volumeMounts: [{ name: 'creds', mountPath: '/etc/creds' }] },
        { volumes: [{ name: 'creds', secret: { secretName: 'creds' } }] },
      );
      await expect.poll(() => eventsOf('mounting')).toContain('FailedMount: MountVolume.SetUp failed for volume "creds" : secret "creds" not found');
      expect(await path1('mounting', '{.status.containerStatuses[0].state.waiting.reason}')).toBe('ContainerCreating');
      await kubectl('create', 'secret', 'generic', 'creds', '--from-literal=user=ada');
      await kubectl('wait', 'pod/mounting', '--for=condition=Ready', '--timeout=20s');
      await expect.poll(() => kubectl('logs', 'mounting')).toBe('ada\n');
    });

    it('a program that is not there: StartError, and a restart later', async () => {
      await applyPod('nothing', { command: ['/no/such/program'] });
      await expect.poll(() => path1('nothing', '{.status.containerStatuses[0].lastState.terminated.reason}'), { timeout: 10_000 }).toBe('StartError');
      expect(await path1('nothing', '{.status.containerStatuses[0].lastState.terminated.exitCode}')).toBe('128');
    });
  });

  describe('probes', () => {
    const server = (script: string): object => ({ ...sh(script), ports: [{ name: 'http', containerPort: 8000 }] });

    it('readiness decides about Ready and endpoints', async () => {
      await applyPod(
        'ready',
        { ...server('cd /scratch; python3 -m http.server 8000'), readinessProbe: { httpGet: { path: '/go', port: 'http' }, periodSeconds: 1 } },
        {},
        { labels: { app: 'ready' } },
      );
      await kubectl('expose', 'pod', 'ready', '--port=80', '--target-port=8000');
      await expect.poll(() => eventsOf('ready'), { timeout: 10_000 }).toContain('Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 404');
      expect(await path1('ready', '{.status.containerStatuses[0].ready} {.status.conditions[?(@.type=="Ready")].message}')).toBe(
        'false containers with unready status: [main]',
      );
      await kubectl('exec', 'ready', '--', 'touch', '/scratch/go');
      await kubectl('wait', 'pod/ready', '--for=condition=Ready', '--timeout=15s');
      await expect
        .poll(() => kubectl('get', 'endpointslice', '-l', 'kubernetes.io/service-name=ready', '-o', 'jsonpath={.items[0].endpoints[0].conditions.ready}'))
        .toBe('true');
      await kubectl('exec', 'ready', '--', 'rm', '/scratch/go');
      await kubectl('wait', 'pod/ready', '--for=condition=Ready=false', '--timeout=15s');
    });

    it('liveness restarts the container, with the reason in events', async () => {
      await applyPod(
        'live',
        { ...sh(`touch /scratch/alive; ${idle}`), livenessProbe: { exec: { command: ['cat', '/scratch/alive'] }, periodSeconds: 1, failureThreshold: 2 } },
        { terminationGracePeriodSeconds: 2 },
      );
      await kubectl('wait', 'pod/live', '--for=condition=Ready', '--timeout=15s');
      await kubectl('exec', 'live', '--', 'rm', '/scratch/alive');
      await expect.poll(() => path1('live', '{.status.containerStatuses[0].restartCount}'), { timeout: 20_000 }).toBe('1');
      const events = await eventsOf('live');
      expect(events).toMatch(/Unhealthy: Liveness probe failed: cat: \/.*alive: No such file or directory\n? x[2-9]/);
      expect(events).toContain('Killing: Container main failed liveness probe, will be restarted');
    });

    it('a refused tcp probe reads as a kubelet writes it', async () => {
      await applyPod('closed', { ...sh(idle), readinessProbe: { tcpSocket: { port: 9 }, periodSeconds: 1 } });
      await expect
        .poll(() => eventsOf('closed'), { timeout: 10_000 })
        .toMatch(/Unhealthy: Readiness probe failed: dial tcp 10\.244\.\d+\.\d+:9: connect: connection refused/);
    });

    it('startup holds the others back', async () => {
      await applyPod('slow', {
        ...sh(`sleep 3; touch /scratch/up; ${idle}`),
        startupProbe: { exec: { command: ['test', '-f', '/scratch/up'] }, periodSeconds: 1, failureThreshold: 30 },
        livenessProbe: { exec: { command: ['test', '-f', '/scratch/up'] }, periodSeconds: 1, failureThreshold: 1 },
      });
      await expect.poll(() => path1('slow', '{.status.containerStatuses[0].started}')).toBe('false');
      await kubectl('wait', 'pod/slow', '--for=condition=Ready', '--timeout=20s');
      expect(await path1('slow', '{.status.containerStatuses[0].started} {.status.containerStatuses[0].restartCount}')).toBe('true 0');
    });
  });

  describe('init containers', () => {
    it('run one after the other before the main container; a sidecar stays', async () => {
      const mount = { volumeMounts: [{ name: 'work', mountPath: '/work' }] };
      await applyPod(
        'stages',
        { ...sh(`cat /work/log; ${idle}`), ...mount },
        {
          volumes: [{ name: 'work', emptyDir: {} }],
          initContainers: [
            { name: 'first', image: 'busybox', ...sh('sleep 1; echo first >> /work/log'), ...mount },
            { name: 'beside', image: 'busybox', restartPolicy: 'Always', ...sh(`echo beside >> /work/log; ${idle}`), ...mount },
            { name: 'second', image: 'busybox', ...sh('sleep 0.5; echo second >> /work/log'), ...mount },
          ],
        },
      );
      await expect.poll(() => path1('stages', '{.status.containerStatuses[0].state.waiting.reason}')).toBe('PodInitializing');
      await kubectl('wait', 'pod/stages', '--for=condition=Ready', '--timeout=20s');
      await expect.poll(() => kubectl('logs', 'stages', '-c', 'main')).toBe('first\nbeside\nsecond\n');
      expect(await path1('stages', '{.status.initContainerStatuses[*].ready}')).toBe('true true true');
      expect(await kubectl('get', 'pod', 'stages')).toContain('2/2');
    });

    it('one that fails keeps the pod in Init', async () => {
      await applyPod('stuck', sh(idle), { initContainers: [{ name: 'broken', image: 'busybox', ...sh('exit 4') }] });
      await expect.poll(() => kubectl('get', 'pod', 'stuck'), { timeout: 15_000 }).toContain('Init:CrashLoopBackOff');
      expect(await path1('stuck', '{.status.phase}')).toBe('Pending');
    });
  });

  describe('deletion', () => {
    it('runs preStop, then SIGTERM, and waits for the program', async () => {
      await applyPod(
        'polite',
        {
          ...sh(`trap 'echo got TERM >> /data/log; exit 0' TERM; echo up; ${idle}`),
          lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo preStop >> /data/log'] } } },
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
        { volumes: [{ name: 'data', hostPath: { path: '/polite', type: 'DirectoryOrCreate' } }] },
      );
      await kubectl('wait', 'pod/polite', '--for=condition=Ready', '--timeout=15s');
      await expect.poll(() => kubectl('logs', 'polite')).toBe('up\n');
      await kubectl('delete', 'pod', 'polite');
      expect(readFileSync(path.join(stack.home, 'hostpath/polite/log'), 'utf8')).toBe('preStop\ngot TERM\n');
    });

    it('kills a program that does not listen when the grace is over', async () => {
      await applyPod('stubborn', sh(`trap '' TERM; echo up; ${idle}`), { terminationGracePeriodSeconds: 1 });
      await kubectl('wait', 'pod/stubborn', '--for=condition=Ready', '--timeout=15s');
      await expect.poll(() => kubectl('logs', 'stubborn')).toBe('up\n');
      const uid = await path1('stubborn', '{.metadata.uid}');
      await kubectl('delete', 'pod', 'stubborn');
      await expect.poll(() => existsSync(path.join(stack.home, 'pods', uid))).toBe(false);
    });

    it('--force removes the object at once and the process soon', async () => {
      await applyPod('forced', sh(idle));
      await kubectl('wait', 'pod/forced', '--for=condition=Ready', '--timeout=15s');
      const uid = await path1('forced', '{.metadata.uid}');
      await kubectl('delete', 'pod', 'forced', '--force', '--grace-period=0');
      expect((await stack.kubectl(['get', 'pod', 'forced'])).code).toBe(1);
      await expect.poll(() => existsSync(path.join(stack.home, 'pods', uid)), { timeout: 10_000 }).toBe(false);
    });
  });
});
