import { setTimeout as sleep } from 'node:timers/promises';

import type { RoutingDecision } from '../../../backend/src/protocol/decision';
import { callBackend } from './backendClient';
import { DecisionView } from './decisionView';
import { KitError } from './kitError';

export interface DecisionScope {
  namespace?: string;
  /** Name of the graph; default: all graphs. */
  graph?: string;
}

export const router = {
  /**
   * Why a request went where it went: every candidate with every term of its cost. Waits up to `deadlineMs` (default
   * 5 s) for the request's outcome, since that is written when the request has ended.
   *
   * @throws {KitError} `NO_DECISION` when the router has no such request.
   */
  decision: async (requestId: string, options: DecisionScope & { deadlineMs?: number } = {}): Promise<DecisionView> => {
    const deadline = Date.now() + (options.deadlineMs ?? 5000);
    for (;;) {
      const found = (await decisions({ ...options, limit: 1000 })).find((decision) => decision.request_id === requestId);
      if (found && (found.outcome || Date.now() >= deadline)) return new DecisionView(found);
      if (Date.now() >= deadline)
        throw new KitError('NO_DECISION', `No router has a decision for request ${requestId}. Was it sent to a frontend of this cluster?`);
      await sleep(200);
    }
  },

  /** The newest decisions, newest last. Default 20. */
  decisions: async (options: DecisionScope & { limit?: number } = {}): Promise<RoutingDecision[]> => await decisions(options),
};

async function decisions(options: DecisionScope & { limit?: number }): Promise<RoutingDecision[]> {
  const query = new URLSearchParams({ limit: String(options.limit ?? 20) });
  if (options.namespace !== undefined) query.set('namespace', options.namespace);
  if (options.graph !== undefined) query.set('graph', options.graph);
  return await callBackend<RoutingDecision[]>(`/api/decisions?${query}`);
}
