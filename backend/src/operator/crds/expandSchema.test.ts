import { describe, expect, it } from 'vitest';
import { expandSchema, type OpenApiSchemas } from './expandSchema.ts';

const schemas: OpenApiSchemas = {
  'io.k8s.api.core.v1.Probe': {
    description: 'long',
    type: 'object',
    required: ['port'],
    properties: {
      port: { allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString' }], default: {} },
      size: { $ref: '#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity' },
      list: { type: 'array', items: { type: 'string', default: '' }, 'x-kubernetes-patch-strategy': 'merge' },
    },
  },
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': { oneOf: [] },
  'io.k8s.apimachinery.pkg.api.resource.Quantity': { oneOf: [] },
};

describe('expandSchema', () => {
  it('inlines core types and keeps only what a structural schema may have', () => {
    expect(expandSchema({ $core: 'Probe', optional: ['port'], description: 'mine', properties: { extra: { type: 'string' } } }, schemas, '.')).toEqual({
      type: 'object',
      description: 'mine',
      properties: {
        port: { 'x-kubernetes-int-or-string': true },
        size: { 'x-kubernetes-int-or-string': true, pattern: expect.any(String) },
        list: { type: 'array', items: { type: 'string' } },
        extra: { type: 'string' },
      },
    });
  });

  it('refuses a type that the server does not have', () => {
    expect(() => expandSchema({ $core: 'Nothing' }, schemas, '.')).toThrow('no core type named Nothing');
  });
});
