import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './support/stack.ts';

/** The driver that this machine gives, and the loopback map, which every machine can do. */
describe.each(['auto', 'loopback'] as const)('pod network: %s', (podNet) => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ podNet, components: ['controlplane', 'nodeagent'] });
  });
  afterAll(() => stack.close());

  async function kubectl(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await stack.kubectl(args);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async function apply(object: object): Promise<void> {
    const { stderr, code } = await stack.kubectl(['apply', '-f', '-'], { input: JSON.stringify(object) });
    if (code !== 0) throw new Error(`kubectl apply: ${stderr}`);
  }

  /** The loopback map has no file view of its own: what a pod writes has to be in a volume. */
  const scratch = { mount: { volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] }, volume: { volumes: [{ name: 'scratch', emptyDir: {} }] } };

  /** Applies a pod whose `main` container is busybox with these fields. */
  async function applyPod(name: string, main: object, spec: object = {}, metadata: object = {}): Promise<void> {
    await apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, ...metadata },
      spec: { containers: [{ name: 'main', image: 'busybox', ...scratch.mount, ...main }], ...scratch.volume, ...spec },
    });
  }

  function sh(script: string): { command: string[] } {
    return { command: ['/bin/sh', '-c', script] };
  }

  const path1 = (name: string, jsonpath: string): Promise<string> => kubectl('get', 'pod', name, '-o', `jsonpath=${jsonpath}`);
  const eventsOf = (name: string): Promise<string> =>
    kubectl('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'jsonpath={range .items[*]}{.reason}: {.message} x{.count}{"\\n"}{end}');
  const idle = 'while true; do sleep 0.2; done';

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

  describe('environment', () => {
    it('has values, references, pod fields, resources, service variables', async () => {
      await kubectl('create', 'configmap', 'settings', '--from-literal=mode=kv', '--from-literal=block=16');
      await kubectl('create', 'secret', 'generic', 'keys', '--from-literal=key=s3cret');
      await kubectl('create', 'service', 'clusterip', 'nats', '--tcp=4222:4222');
      const field = (fieldPath: string): object => ({ fieldRef: { fieldPath } });
      await applyPod(
        'env',
        {
          command: ['/bin/sh', '-c', 'env; echo "arg=$0"; ' + idle, '$(GREETING)-$$(GREETING)-$(NOBODY)'],
          envFrom: [{ prefix: 'CFG_', configMapRef: { name: 'settings' } }, { secretRef: { name: 'absent', optional: true } }],
          env: [
            { name: 'WHO', value: 'world' },
            { name: 'GREETING', value: 'hello $(WHO) $(CFG_mode) $(UNKNOWN) $$(WHO)' },
            { name: 'KEY', valueFrom: { secretKeyRef: { name: 'keys', key: 'key' } } },
            { name: 'OPTIONAL', valueFrom: { configMapKeyRef: { name: 'settings', key: 'nope', optional: true } } },
            { name: 'POD', valueFrom: field('metadata.name') },
            { name: 'ROLE', valueFrom: field("metadata.labels['role']") },
            { name: 'IP', valueFrom: field('status.podIP') },
            { name: 'NODE', valueFrom: field('spec.nodeName') },
            { name: 'MIB', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
          ],
          resources: { limits: { memory: '64Mi' } },
        },
        {},
        { labels: { role: 'worker' } },
      );
      await kubectl('wait', 'pod/env', '--for=condition=Ready', '--timeout=15s');
      await expect.poll(() => kubectl('logs', 'env')).toContain('arg=');
      const log = (await kubectl('logs', 'env')).split('\n');
      const ip = await path1('env', '{.status.podIP}');
      for (const line of [
        'GREETING=hello world kv $(UNKNOWN) $(WHO)',
        'arg=hello world kv $(UNKNOWN) $(WHO)-$(GREETING)-$(NOBODY)',
        'CFG_block=16',
        'KEY=s3cret',
        'POD=env',
        'ROLE=worker',
        `IP=${ip}`,
        'NODE=node-1',
        'MIB=64',
        'HOSTNAME=env',
        'KUBERNETES_SERVICE_HOST=10.96.0.1',
        'KUBERNETES_SERVICE_PORT=443',
        'NATS_SERVICE_PORT=4222',
      ])
        expect(log).toContain(line);
      expect(log.some((line) => line.startsWith('OPTIONAL='))).toBe(false);
    });
  });

  describe('volumes', () => {
    it('configMap with items and modes, subPath, downwardAPI, memory, and an own working directory', async () => {
      await kubectl('create', 'configmap', 'files', '--from-literal=a=alpha', '--from-literal=b=beta');
      await applyPod(
        'files',
        {
          ...sh(
            `cat /cfg/sub/one /single; cat /info/labels; pwd; stat -Lc %a /cfg/sub/one; echo x > /dev/shm/x && echo shm; touch /cfg/new 2>/dev/null || echo read-only; echo done; ${idle}`,
          ),
          workingDir: '/workspace/not/there',
          volumeMounts: [
            { name: 'cfg', mountPath: '/cfg', readOnly: true },
            { name: 'all', mountPath: '/single', subPath: 'b' },
            { name: 'info', mountPath: '/info' },
            { name: 'shm', mountPath: '/dev/shm' },
          ],
        },
        {
          volumes: [
            { name: 'cfg', configMap: { name: 'files', items: [{ key: 'a', path: 'sub/one', mode: 0o400 }] } },
            { name: 'all', configMap: { name: 'files' } },
            { name: 'info', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
            { name: 'shm', emptyDir: { medium: 'Memory' } },
          ],
        },
        { labels: { tier: 'test' } },
      );
      await kubectl('wait', 'pod/files', '--for=condition=Ready', '--timeout=15s');
      await expect.poll(() => kubectl('logs', 'files')).toContain('done');
      const [first, ...rest] = (await kubectl('logs', 'files')).split('\n');
      expect(first).toMatch(/^alphabetatier="test"\/.*workspace\/not\/there$/);
      const driver = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].metadata.labels.dynamo-labs\\.dev/podnet}');
      // The loopback map has no mounts, and so no read-only ones.
      expect(rest).toEqual(['400', 'shm', ...(driver === 'namespaces' ? ['read-only'] : []), 'done', '']);
    });

    it('a claim of the default StorageClass is bound and keeps its files from pod to pod', async () => {
      await apply({
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: 'models' },
        spec: { accessModes: ['ReadWriteMany'], resources: { requests: { storage: '10Gi' } } },
      });
      await kubectl('wait', 'pvc/models', '--for=jsonpath={.status.phase}=Bound', '--timeout=20s');
      const use = (script: string): [object, object] => [
        { ...sh(script), volumeMounts: [{ name: 'models', mountPath: '/models' }] },
        { restartPolicy: 'Never', volumes: [{ name: 'models', persistentVolumeClaim: { claimName: 'models' } }] },
      ];
      await applyPod('writer', ...use('echo weights > /models/file'));
      await expect.poll(() => path1('writer', '{.status.phase}')).toBe('Succeeded');
      await applyPod('reader', ...use('cat /models/file'));
      await expect.poll(() => path1('reader', '{.status.phase}')).toBe('Succeeded');
      expect(await kubectl('logs', 'reader')).toBe('weights\n');
      const folder = await kubectl('get', 'pv', '-o', 'jsonpath={.items[0].spec.hostPath.path}');
      await kubectl('delete', 'pod', 'writer', 'reader', '--now');
      await kubectl('delete', 'pvc', 'models');
      await expect.poll(() => kubectl('get', 'pv', '-o', 'name'), { timeout: 15_000 }).toBe('');
      await expect.poll(() => existsSync(folder)).toBe(false);
    });

    it('there are two StorageClasses: the default one, and the one that the original course material names', async () => {
      const classes = JSON.parse(await kubectl('get', 'storageclass', '-o', 'json')) as {
        items: { metadata: { name: string; annotations?: Record<string, string> }; reclaimPolicy: string; mountOptions?: string[] }[];
      };
      const shown = classes.items.map(({ metadata, reclaimPolicy, mountOptions }) => ({
        name: metadata.name,
        reclaimPolicy,
        isDefault: metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true',
        mountOptions,
      }));
      expect(shown).toEqual([
        { name: 'local-dir', reclaimPolicy: 'Delete', isDefault: true, mountOptions: undefined },
        { name: 'nebius-shared-fs', reclaimPolicy: 'Retain', isDefault: false, mountOptions: ['nfsvers=4.1'] },
      ]);
    });

    it('hostPath lies below the state folder, not in the machine', async () => {
      await applyPod(
        'host',
        { ...sh('echo kept > /data/file'), volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        { restartPolicy: 'Never', volumes: [{ name: 'data', hostPath: { path: '/data/models', type: 'DirectoryOrCreate' } }] },
      );
      await expect.poll(() => path1('host', '{.status.phase}')).toBe('Succeeded');
      expect(readFileSync(path.join(stack.home, 'hostpath/data/models/file'), 'utf8')).toBe('kept\n');
      expect(existsSync('/data/models/file')).toBe(false);
    });

    it('the ServiceAccount token works against the API from inside', async () => {
      const dir = '${DYNAMO_LABS_SERVICEACCOUNT_DIR:-/var/run/secrets/kubernetes.io/serviceaccount}';
      await applyPod(
        'caller',
        sh(
          `D=${dir}; curl -s --cacert $D/ca.crt -H "Authorization: Bearer $(cat $D/token)" https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/apis/authentication.k8s.io/v1/selfsubjectreviews -X POST -H 'Content-Type: application/json' -d '{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'`,
        ),
        { restartPolicy: 'Never' },
      );
      await expect.poll(() => path1('caller', '{.status.phase}'), { timeout: 15_000 }).toBe('Succeeded');
      const review = JSON.parse(await kubectl('logs', 'caller')) as { status: { userInfo: { username: string } } };
      expect(review.status.userInfo.username).toBe('system:serviceaccount:default:default');
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
