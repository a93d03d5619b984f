import type { RoutingDecision } from '../../../backend/src/protocol/decision';
import type { TopologySnapshot } from '../../../backend/src/protocol/lab';
import { callBackend } from './backendClient';
import { DecisionView } from './decisionView';
import type { Picture } from './rich';
import { router } from './router';
import { tablePicture } from './table';
import { topologyPicture } from './topologyPicture';

/** Pictures for a cell's last line; each has a text form for viewers without pictures. */
export const show = {
  /** What runs now: graphs, pods, readiness, cached blocks, routed requests. */
  topology: async (options: { graph?: string } = {}): Promise<Picture> => {
    const snapshot = await callBackend<TopologySnapshot>('/api/topology');
    const graphs = options.graph === undefined ? snapshot.graphs : snapshot.graphs.filter(({ name }) => name === options.graph);
    return topologyPicture({ ...snapshot, graphs });
  },
  /** A routing decision, by request id or as `router.decisions` returned it. */
  decision: async (decision: string | RoutingDecision): Promise<DecisionView> =>
    typeof decision === 'string' ? await router.decision(decision) : new DecisionView(decision),
  /** Records as a table. */
  table: (records: readonly Record<string, unknown>[], caption?: string): Picture => tablePicture(records, caption),
};
