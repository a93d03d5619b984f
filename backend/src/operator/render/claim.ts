import type { KubeObject } from '../../kube/index.ts';
import type { DynamoGraphDeployment, PersistentVolumeClaimRequest } from '../graphTypes.ts';
import { dynamoApiVersion, label } from '../names.ts';
import { managedBy } from './componentContext.ts';
import { ownerReference } from './ownerReference.ts';

/** A claim that the graph asks the operator to create (`create: true`); it goes with the graph. */
export function claim(graph: DynamoGraphDeployment, request: PersistentVolumeClaimRequest): KubeObject {
  const { name, namespace } = graph.metadata;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: request.name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...managedBy, [label.graph]: name },
      ownerReferences: [ownerReference(graph, dynamoApiVersion, 'DynamoGraphDeployment')],
    },
    spec: {
      accessModes: [request.volumeAccessMode],
      resources: { requests: { storage: request.size } },
      ...(request.storageClass === undefined ? {} : { storageClassName: request.storageClass }),
    },
  };
}
