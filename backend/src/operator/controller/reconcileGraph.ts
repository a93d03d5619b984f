import { keyOf, KubeError, type KubeClient, type Reflector } from '../../kube/index.ts';
import type { DynamoComponentDeployment, DynamoGraphDeployment } from '../graphTypes.ts';
import { annotation, resourceType } from '../names.ts';
import type { OperatorOptions } from '../operatorOptions.ts';
import { claim } from '../render/claim.ts';
import { component as renderComponent } from '../render/component.ts';
import { discoveryAccess } from '../render/discoveryAccess.ts';
import { failedGraphStatus, graphStatus, invalidGraphStatus } from '../status/graphStatus.ts';
import { writeStatus } from '../status/writeStatus.ts';
import { graphWarnings, validateGraph } from '../validateGraph.ts';
import { applyChild, OwnershipError } from './applyChild.ts';
import type { ChildStores } from './childStores.ts';
import type { EventRecorder } from './eventRecorder.ts';

export interface GraphReconciler {
  client: KubeClient;
  graphs: Reflector<DynamoGraphDeployment>;
  components: Reflector<DynamoComponentDeployment>;
  children: ChildStores;
  events: EventRecorder;
  options: OperatorOptions;
}

const kind = 'DynamoGraphDeployment';

async function ensureClaims(client: KubeClient, graph: DynamoGraphDeployment): Promise<boolean> {
  let created = false;
  for (const request of graph.spec.pvcs ?? []) {
    if ((await client.find(resourceType.claim, request.name, graph.metadata.namespace)) !== undefined) continue;
    if (request.create !== true) throw new KubeError(`failed to reconcile top-level PVCs: persistentvolumeclaims "${request.name}" not found`, 404, 'NotFound');
    await client.create(resourceType.claim, claim(graph, request));
    created = true;
  }
  return created;
}

async function ensureDiscoveryAccess({ client, children, options }: GraphReconciler, graph: DynamoGraphDeployment): Promise<boolean> {
  if ((graph.metadata.annotations?.[annotation.discoveryBackend] ?? options.discoveryBackend) !== 'kubernetes') return false;
  const { serviceAccount, role, roleBinding } = discoveryAccess(graph);
  const applied = [
    await applyChild(client, resourceType.serviceAccount, serviceAccount, children.serviceAccounts.store.get(keyOf(serviceAccount))),
    await applyChild(client, resourceType.role, role, children.roles.store.get(keyOf(role))),
    await applyChild(client, resourceType.roleBinding, roleBinding, children.roleBindings.store.get(keyOf(roleBinding))),
  ];
  return applied.some(({ changed }) => changed);
}

async function ensureComponents(
  { client, components }: GraphReconciler,
  graph: DynamoGraphDeployment,
): Promise<{ byService: Map<string, DynamoComponentDeployment>; changed: boolean }> {
  const desired = Object.entries(graph.spec.services ?? {}).map(([service, spec]) => [service, renderComponent(graph, service, spec)] as const);
  const byService = new Map<string, DynamoComponentDeployment>();
  let changed = false;
  for (const [service, component] of desired) {
    const applied = await applyChild<DynamoComponentDeployment>(client, resourceType.component, component, components.store.get(keyOf(component)));
    byService.set(service, applied.object);
    changed ||= applied.changed;
  }
  const wanted = new Set(desired.map(([, component]) => component.metadata.name));
  for (const component of components.store.values()) {
    const ours = component.metadata.ownerReferences?.some((reference) => reference.uid === graph.metadata.uid) === true;
    if (!ours || wanted.has(component.metadata.name) || component.metadata.deletionTimestamp !== undefined) continue;
    await client.delete(resourceType.component, component.metadata.name, component.metadata.namespace);
    changed = true;
  }
  return { byService, changed };
}

/** One graph: its claims, discovery access and components, and then its status. */
export async function reconcileGraph(reconciler: GraphReconciler, key: string): Promise<void> {
  const { client, graphs, events } = reconciler;
  const graph = graphs.store.get(key);
  if (graph === undefined || graph.metadata.deletionTimestamp !== undefined) return;
  const now = new Date().toISOString();
  const fresh = graph.status?.observedGeneration !== graph.metadata.generation;
  const errors = validateGraph(graph);
  if (errors.length > 0) {
    if (fresh) events.recordOnce(graph, kind, 'Warning', 'ValidationFailed', errors.join('; '));
    await writeStatus(client, kind, graph, invalidGraphStatus(graph, errors, now));
    return;
  }
  if (fresh) {
    events.recordOnce(graph, kind, 'Normal', 'Reconciling', 'Starting to reconcile DynamoGraphDeployment');
    for (const warning of graphWarnings(graph)) events.recordOnce(graph, kind, 'Warning', 'Deprecated', warning);
  }
  try {
    const claims = await ensureClaims(client, graph);
    const access = await ensureDiscoveryAccess(reconciler, graph);
    const { byService, changed } = await ensureComponents(reconciler, graph);
    if (claims || access || changed) events.record(graph, kind, 'Normal', 'Update', 'All resources updated!');
    await writeStatus(client, kind, graph, graphStatus(graph, byService, now));
  } catch (error) {
    // A child of the graph's predecessor is still being deleted: not a failure of this graph, and soon over.
    if (!(error instanceof OwnershipError)) {
      const message = error instanceof Error ? error.message : String(error);
      events.record(graph, kind, 'Warning', 'ReconcileError', message);
      await writeStatus(client, kind, graph, failedGraphStatus(graph, message, now));
    }
    throw error;
  }
}
