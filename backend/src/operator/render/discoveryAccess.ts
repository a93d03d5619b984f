import type { KubeObject } from '../../kube/index.ts';
import type { DynamoGraphDeployment } from '../graphTypes.ts';
import { discoveryServiceAccountName, dynamoApiVersion, label } from '../names.ts';
import { ownerReference } from './ownerReference.ts';

/** What discovery over Kubernetes needs, and no more; the operator must hold the same permissions to grant them. */
export const discoveryRules = [
  { apiGroups: [''], resources: ['endpoints', 'pods'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['nvidia.com'], resources: ['dynamoworkermetadatas'], verbs: ['create', 'get', 'list', 'watch', 'update', 'patch', 'delete'] },
];

/** ServiceAccount, Role and RoleBinding under which the pods of a graph find each other and announce themselves. */
export function discoveryAccess(graph: DynamoGraphDeployment): { serviceAccount: KubeObject; role: KubeObject; roleBinding: KubeObject } {
  const name = discoveryServiceAccountName(graph.metadata.name);
  const { namespace } = graph.metadata;
  const metadata = (objectName: string): KubeObject['metadata'] => ({
    name: objectName,
    ...(namespace === undefined ? {} : { namespace }),
    labels: {
      'app.kubernetes.io/managed-by': 'dynamo-operator',
      'app.kubernetes.io/component': 'rbac',
      'app.kubernetes.io/name': name,
      [label.graph]: graph.metadata.name,
    },
    ownerReferences: [ownerReference(graph, dynamoApiVersion, 'DynamoGraphDeployment')],
  });
  return {
    serviceAccount: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata(name) },
    role: { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: metadata(`${name}-role`), rules: discoveryRules },
    roleBinding: {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: metadata(`${name}-binding`),
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: `${name}-role` },
    },
  };
}
