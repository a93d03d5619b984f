import type { KubeObject } from '../../kube/index.ts';
import { dynamoApiVersion } from '../names.ts';
import { componentKind, frontendPort } from './componentKind.ts';
import { componentLabels, managedBy, type ComponentContext } from './componentContext.ts';
import { ownerReference } from './ownerReference.ts';

const defaultHostSuffix = 'local';

/** The Ingress of a frontend whose service enables one, at `<hostPrefix><host>.<hostSuffix>`. */
export function ingress(context: ComponentContext): KubeObject | undefined {
  const { component, spec, name, namespace } = context;
  const wanted = spec.ingress;
  if (wanted?.enabled !== true || wanted.host === undefined || componentKind(spec.componentType) !== 'frontend') return undefined;
  const host = `${wanted.hostPrefix ?? ''}${wanted.host}.${wanted.hostSuffix ?? defaultHostSuffix}`;
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      name,
      namespace,
      labels: { ...managedBy, ...componentLabels(context), ...wanted.labels },
      annotations: { ...wanted.annotations },
      ownerReferences: [ownerReference(component, dynamoApiVersion, 'DynamoComponentDeployment')],
    },
    spec: {
      ...(wanted.ingressControllerClassName === undefined ? {} : { ingressClassName: wanted.ingressControllerClassName }),
      rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name, port: { number: frontendPort } } } }] } }],
      ...(wanted.tls?.secretName === undefined ? {} : { tls: [{ hosts: [host], secretName: wanted.tls.secretName }] }),
    },
  };
}
