import { keyOf, type KubeClient, type KubeObject, type Reflector } from '../../kube/index.ts';
import type { Deployment, DynamoComponentDeployment } from '../graphTypes.ts';
import { resourceType } from '../names.ts';
import type { OperatorOptions } from '../operatorOptions.ts';
import { componentContext } from '../render/componentContext.ts';
import { deployment as renderDeployment } from '../render/deployment.ts';
import { ingress as renderIngress } from '../render/ingress.ts';
import { service as renderService } from '../render/service.ts';
import { componentStatus } from '../status/componentStatus.ts';
import { writeStatus } from '../status/writeStatus.ts';
import { applyChild } from './applyChild.ts';
import type { ChildStores } from './childStores.ts';
import type { EventRecorder } from './eventRecorder.ts';

export interface ComponentReconciler {
  client: KubeClient;
  components: Reflector<DynamoComponentDeployment>;
  children: ChildStores;
  events: EventRecorder;
  options: OperatorOptions;
}

const kind = 'DynamoComponentDeployment';

async function applyOptional(
  { client }: ComponentReconciler,
  type: typeof resourceType.service | typeof resourceType.ingress,
  store: Reflector<KubeObject>,
  desired: KubeObject | undefined,
  component: DynamoComponentDeployment,
): Promise<boolean> {
  const live = store.store.get(keyOf(desired ?? component));
  if (desired !== undefined) return (await applyChild(client, type, desired, live)).changed;
  const ours = live?.metadata.ownerReferences?.some((reference) => reference.uid === component.metadata.uid) === true;
  if (live === undefined || !ours) return false;
  await client.delete(type, live.metadata.name, live.metadata.namespace);
  return true;
}

/** One component: its Deployment, Service and Ingress, and then its status. */
export async function reconcileComponent(reconciler: ComponentReconciler, key: string): Promise<void> {
  const { client, components, children, events, options } = reconciler;
  const component = components.store.get(key);
  if (component === undefined || component.metadata.deletionTimestamp !== undefined) return;
  if (component.status?.observedGeneration !== component.metadata.generation) {
    events.recordOnce(component, kind, 'Normal', 'Reconciling', 'Starting to reconcile DynamoComponentDeployment');
  }
  try {
    const context = componentContext(component, options);
    const service = await applyOptional(reconciler, resourceType.service, children.services, renderService(context), component);
    const ingress = await applyOptional(reconciler, resourceType.ingress, children.ingresses, renderIngress(context), component);
    const desired = renderDeployment(context);
    const deployment = await applyChild<Deployment>(client, resourceType.deployment, desired, children.deployments.store.get(keyOf(desired)));
    if (service || ingress || deployment.changed) events.record(component, kind, 'Normal', 'Update', 'All resources updated!');
    await writeStatus(client, kind, component, componentStatus(component, deployment.object, new Date().toISOString()));
  } catch (error) {
    events.record(component, kind, 'Warning', 'ReconcileError', error instanceof Error ? error.message : String(error));
    throw error;
  }
}
