/** The backend's own types, erased at build: nothing of the backend ends up in the browser. */
export type {
  Assertion,
  CheckReport,
  Evidence,
  GraphView,
  KvTransferEdge,
  LabEvent,
  LabSummary,
  PodView,
  StepState,
  StepSummary,
  TopologySnapshot,
  Verdict,
} from '../../backend/src/protocol/lab.ts';

/** `GET /api/status`. */
export interface ClusterStatus {
  cluster: { ready: boolean; version?: string; nodes?: number; podNet?: string; message?: string };
  version: string;
}
