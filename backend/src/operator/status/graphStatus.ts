import type { DynamoComponentDeployment, DynamoGraphDeployment, GraphState, GraphStatus, ReplicaStatus } from '../graphTypes.ts';
import { condition, withCondition } from './conditions.ts';

type Outcome = { state: GraphState; ready: boolean; reason: string; message: string; services?: Record<string, ReplicaStatus> };

function status(graph: DynamoGraphDeployment, outcome: Outcome, now: string): GraphStatus {
  const observedGeneration = graph.metadata.generation ?? 0;
  const services = outcome.services ?? graph.status?.services;
  return {
    state: outcome.state,
    observedGeneration,
    conditions: withCondition(
      graph.status?.conditions,
      { type: 'Ready', status: outcome.ready ? 'True' : 'False', reason: outcome.reason, message: outcome.message, observedGeneration },
      now,
    ),
    ...(services === undefined ? {} : { services }),
  };
}

/** The status of a graph from its components, by service. */
export function graphStatus(graph: DynamoGraphDeployment, components: Map<string, DynamoComponentDeployment>, now: string): GraphStatus {
  const shortfalls: string[] = [];
  const services: Record<string, ReplicaStatus> = {};
  let unseen = 0;
  for (const [service, component] of components) {
    const available = condition(component.status?.conditions, 'Available');
    const current = component.status?.observedGeneration === component.metadata.generation;
    if (available === undefined) unseen += 1;
    if (available?.status !== 'True' || !current) {
      const detail = available !== undefined && current ? available.message : 'not reconciled yet';
      shortfalls.push(`${component.metadata.name}: Component deployment not ready - Available condition not true (${detail})`);
    }
    if (component.status?.service !== undefined) services[service] = component.status.service;
  }
  if (shortfalls.length === 0)
    return status(graph, { state: 'successful', ready: true, reason: 'all_resources_are_ready', message: 'All resources are ready', services }, now);
  const state = unseen === components.size ? 'initializing' : 'pending';
  return status(
    graph,
    { state, ready: false, reason: 'some_resources_are_not_ready', message: `Resources not ready: ${shortfalls.join('; ')}`, services },
    now,
  );
}

/** The status of a graph that breaks a rule: nothing is changed until the graph is. */
export function invalidGraphStatus(graph: DynamoGraphDeployment, errors: string[], now: string): GraphStatus {
  return status(graph, { state: 'failed', ready: false, reason: 'ValidationFailed', message: `Validation failed: ${errors.join('; ')}` }, now);
}

/** The status of a graph whose children could not be made. */
export function failedGraphStatus(graph: DynamoGraphDeployment, message: string, now: string): GraphStatus {
  return status(graph, { state: 'failed', ready: false, reason: 'failed_to_reconcile_the_resources', message }, now);
}
