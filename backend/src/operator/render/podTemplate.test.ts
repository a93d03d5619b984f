import { describe, expect, it } from 'vitest';
import type { Container, ServiceSpec } from '../graphTypes.ts';
import { podTemplate } from './podTemplate.ts';
import { contextOf, plainOptions } from './testGraphs.ts';

const main = (spec: ServiceSpec, options = plainOptions): Container => podTemplate(contextOf(spec, options)).spec.containers[0]!;
const env = (container: Container, name: string): string | undefined => container.env?.find((variable) => variable.name === name)?.value;

describe('probes', () => {
  it('takes an integer port of the user instead of mixing it into the named one', () => {
    const container = main({
      componentType: 'frontend',
      extraPodSpec: { mainContainer: { livenessProbe: { httpGet: { path: '/live', port: 8787 } }, readinessProbe: { exec: { command: ['true'] } } } },
    });
    expect(container.livenessProbe).toEqual({ httpGet: { path: '/live', port: 8787 } });
    expect(container.readinessProbe).toEqual({ exec: { command: ['true'] } });
  });

  it('prefers the probe of the service over that of its container', () => {
    const container = main({
      componentType: 'worker',
      livenessProbe: { tcpSocket: { port: 9090 } },
      extraPodSpec: { mainContainer: { livenessProbe: { httpGet: { path: '/x', port: 1 } }, startupProbe: { httpGet: { path: '/y', port: 2 } } } },
    });
    expect(container.livenessProbe).toEqual({ tcpSocket: { port: 9090 } });
    expect(container.startupProbe).toEqual({ httpGet: { path: '/y', port: 2 } });
  });

  it('gives no probes, ports or command to an unknown component type', () => {
    const container = main({ componentType: 'sidekick', extraPodSpec: { mainContainer: { image: 'busybox' } } });
    expect(Object.keys(container).sort()).toEqual(['env', 'image', 'name', 'volumeMounts']);
  });
});

describe('environment', () => {
  it('is sorted by name', () => {
    const names = main({
      componentType: 'worker',
      envs: [
        { name: 'ZZ', value: '1' },
        { name: 'AA', value: '2' },
      ],
    }).env!.map((variable) => variable.name);
    expect(names).toEqual([...names].sort());
  });

  it('lets envs win over the container, and both over the operator', () => {
    const container = main(
      {
        componentType: 'worker',
        envs: [{ name: 'NATS_SERVER', value: 'service' }],
        extraPodSpec: {
          mainContainer: {
            env: [
              { name: 'NATS_SERVER', value: 'container' },
              { name: 'DYN_SYSTEM_PORT', value: '9191' },
            ],
          },
        },
      },
      { ...plainOptions, natsAddress: 'operator', etcdAddress: 'http://etcd:2379' },
    );
    expect(env(container, 'NATS_SERVER')).toBe('service');
    expect(env(container, 'DYN_SYSTEM_PORT')).toBe('9191');
    expect(env(container, 'ETCD_ENDPOINTS')).toBe('http://etcd:2379');
  });

  it('has no address that the operator was not given', () => {
    expect(main({ componentType: 'worker' }).env!.map((variable) => variable.name)).not.toContain('NATS_SERVER');
  });
});

describe('pod', () => {
  it('keeps the default command where the user gives only args', () => {
    expect(main({ componentType: 'worker', extraPodSpec: { mainContainer: { args: ['echo hi'] } } })).toMatchObject({
      command: ['/bin/sh', '-c'],
      args: ['echo hi'],
    });
    expect(main({ componentType: 'frontend', extraPodSpec: { mainContainer: { args: ['--help'] } } })).toMatchObject({
      command: ['python3'],
      args: ['--help'],
    });
  });

  it('adds sidecars, volumes and tolerations, and lets other fields of extraPodSpec win', () => {
    const { spec } = podTemplate(
      contextOf({
        componentType: 'worker',
        extraPodSpec: {
          containers: [{ name: 'sidecar', image: 'busybox' }],
          volumes: [
            { name: 'shared-memory', emptyDir: {} },
            { name: 'more', emptyDir: {} },
          ],
          tolerations: [{ operator: 'Exists' }],
          serviceAccountName: 'mine',
          terminationGracePeriodSeconds: 5,
          securityContext: { runAsUser: 7 },
        },
      }),
    );
    expect(spec.containers.map((container) => container.name)).toEqual(['main', 'sidecar']);
    expect(spec.volumes).toEqual([
      { name: 'shared-memory', emptyDir: {} },
      { name: 'more', emptyDir: {} },
    ]);
    expect(spec).toMatchObject({ tolerations: [{ operator: 'Exists' }], serviceAccountName: 'mine', terminationGracePeriodSeconds: 5 });
    expect(spec['securityContext']).toEqual({ fsGroup: 1000, runAsUser: 7 });
    expect(spec).not.toHaveProperty('mainContainer');
  });

  it('leaves /dev/shm alone where it is disabled or taken', () => {
    expect(podTemplate(contextOf({ componentType: 'worker', sharedMemory: { disabled: true } })).spec.volumes).toEqual([]);
    const taken = podTemplate(
      contextOf({ componentType: 'worker', extraPodSpec: { mainContainer: { volumeMounts: [{ name: 'mine', mountPath: '/dev/shm' }] } } }),
    );
    expect(taken.spec.volumes).toEqual([]);
  });

  it('mounts claims, and the compilation cache of vLLM where it looks for it', () => {
    const { spec } = podTemplate(
      contextOf({
        componentType: 'worker',
        volumeMounts: [
          { name: 'model-cache', mountPoint: '/models' },
          { name: 'compiled', useAsCompilationCache: true },
        ],
        extraPodSpec: { mainContainer: { args: ['python3 -m dynamo.vllm'] } },
      }),
    );
    expect(spec.volumes.slice(0, 2)).toEqual([
      { name: 'model-cache', persistentVolumeClaim: { claimName: 'model-cache' } },
      { name: 'compiled', persistentVolumeClaim: { claimName: 'compiled' } },
    ]);
    expect(spec.containers[0]!.volumeMounts!.slice(0, 2)).toEqual([
      { name: 'model-cache', mountPath: '/models' },
      { name: 'compiled', mountPath: '/root/.cache/vllm' },
    ]);
    expect(() => main({ componentType: 'worker', volumeMounts: [{ name: 'compiled', useAsCompilationCache: true }] })).toThrow(
      'requires an explicit mountPoint',
    );
  });

  it('turns gpu into a resource name and keeps the container’s own resources', () => {
    const container = main({
      componentType: 'worker',
      resources: { limits: { gpu: '2', custom: { 'rdma/ib': '1' } }, requests: { cpu: '4', gpu: '1', gpuType: 'nvidia.com/mig-1g.5gb' } },
      extraPodSpec: { mainContainer: { resources: { limits: { memory: '1Gi' }, requests: { cpu: '1' } } } },
    });
    expect(container.resources).toEqual({
      limits: { memory: '1Gi', 'nvidia.com/gpu': '2', 'rdma/ib': '1' },
      requests: { cpu: '4', 'nvidia.com/mig-1g.5gb': '1' },
    });
  });

  it('puts the user’s labels last but never over the selector', () => {
    const { metadata } = podTemplate(
      contextOf({
        componentType: 'worker',
        subComponentType: 'prefill',
        annotations: { 'nvidia.com/enable-metrics': 'false' },
        extraPodMetadata: { labels: { app: 'demo', 'nvidia.com/selector': 'stolen', 'nvidia.com/dynamo-component': 'mine' } },
      }),
    );
    expect(metadata.labels).toEqual({
      app: 'demo',
      'nvidia.com/selector': 'demo-x',
      'nvidia.com/dynamo-graph-deployment-name': 'demo',
      'nvidia.com/dynamo-component': 'mine',
      'nvidia.com/dynamo-component-type': 'worker',
      'nvidia.com/dynamo-sub-component-type': 'prefill',
      'nvidia.com/dynamo-namespace': 'dynamo-demo',
    });
  });
});
