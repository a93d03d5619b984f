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

  const { kubectl, applyPod, apply, sh, path1, idle } = podCommands(() => stack);

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
});
