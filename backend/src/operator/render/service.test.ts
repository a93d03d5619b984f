import { describe, expect, it } from 'vitest';
import { ingress } from './ingress.ts';
import { service } from './service.ts';
import { contextOf } from './testGraphs.ts';

describe('service', () => {
  it('exists for workers only where discovery reads EndpointSlices', () => {
    const context = contextOf({ componentType: 'worker' });
    expect(service(context)).toMatchObject({ spec: { ports: [{ name: 'system', port: 9090, targetPort: 'system' }] } });
    expect(service({ ...context, discoveryBackend: 'etcd' })).toBeUndefined();
    expect(service({ ...contextOf({ componentType: 'frontend' }), discoveryBackend: 'etcd' })?.metadata.labels).not.toHaveProperty(
      'nvidia.com/dynamo-discovery-enabled',
    );
  });

  it('does not exist for component types without a port', () => {
    expect(service(contextOf({ componentType: 'planner' }))).toBeUndefined();
  });
});

describe('ingress', () => {
  it('is made for a frontend that enables it', () => {
    const spec = { enabled: true, host: 'demo', hostPrefix: 'my-', ingressControllerClassName: 'nginx', tls: { secretName: 'cert' } };
    expect(ingress(contextOf({ componentType: 'frontend', ingress: spec }))?.['spec']).toEqual({
      ingressClassName: 'nginx',
      rules: [
        { host: 'my-demo.local', http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'demo-x', port: { number: 8000 } } } }] } },
      ],
      tls: [{ hosts: ['my-demo.local'], secretName: 'cert' }],
    });
    expect(ingress(contextOf({ componentType: 'frontend', ingress: { ...spec, enabled: false } }))).toBeUndefined();
    expect(ingress(contextOf({ componentType: 'worker', ingress: spec }))).toBeUndefined();
  });
});
