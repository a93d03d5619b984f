/** Lab words shared by backend, extension and notebooks. */
export type StepState = 'todo' | 'running' | 'passed' | 'failed' | 'error';

/** FAIL: the learner's cluster is not (yet) as the step asks. ERROR: the check itself could not look. Never mixed up. */
export type Verdict = 'PASS' | 'FAIL' | 'ERROR';

export interface Assertion {
  /** Stable within its check; wrong answers name it. */
  id: string;
  /** One sentence in the learner's words. */
  title: string;
  verdict: Verdict;
  expected: string;
  observed: string;
  /** Ids into `CheckReport.evidence`. */
  evidence: string[];
  /** Shown when this assertion fails: belongs to exactly this failure. */
  hint?: string;
}

export interface Evidence {
  id: string;
  /** Where it was looked at, e.g. `GET /apis/nvidia.com/v1alpha1/…`, `metrics vllm-kv-demo-frontend …`, `decision 6f1c…`. */
  source: string;
  /** RFC 3339. */
  time: string;
  /** The excerpt that decided; JSON-safe, size-bounded. */
  data: unknown;
}

export interface CheckReport {
  lab: string;
  step: string;
  verdict: Verdict;
  startedAt: string;
  durationMs: number;
  assertions: Assertion[];
  evidence: Evidence[];
  /** Set for ERROR: what could not be looked at and what to do. */
  error?: { code: string; message: string };
}

export interface LabSummary {
  id: string;
  title: string;
  summary: string;
  durationMinutes: number;
  steps: StepSummary[];
  /** Notebook path relative to the Jupyter root. */
  notebook: string;
  /** Why the lab cannot run here, e.g. no GPU. */
  unavailable?: string;
}

export interface StepSummary {
  id: string;
  title: string;
  durationMinutes: number;
  goal: string;
  state: StepState;
  attempts: number;
  hintsShown: number;
  hintsTotal: number;
  solutionShown: boolean;
  /** RFC 3339 of the first PASS. */
  passedAt?: string;
  lastReport?: CheckReport;
}

/** The live graph view: what runs, whether it is ready, and what each worker holds. */
export interface TopologySnapshot {
  time: string;
  graphs: GraphView[];
  /** Human-readable problems of looking itself, e.g. a frontend that does not answer. */
  problems: string[];
}

export interface GraphView {
  namespace: string;
  name: string;
  state: string;
  ready: boolean;
  components: { name: string; type: string; role?: 'prefill' | 'decode'; replicas: number; readyReplicas: number; pods: PodView[] }[];
  /** Router edges: requests routed from a frontend pod to a worker pod. */
  edges: { from: string; to: string; requests: number; cachedBlocks: number }[];
  /** KV blocks that decode pods have read from prefill pods, by the frontends' latest records. */
  transfers?: KvTransferEdge[];
}

export interface KvTransferEdge {
  /** Prefill pod. */
  from: string;
  /** Decode pod. */
  to: string;
  requests: number;
  blocks: number;
  bytes: number;
}

export interface PodView {
  name: string;
  node?: string;
  ip?: string;
  phase: string;
  ready: boolean;
  restarts: number;
  /** Container state reason when not running, e.g. CrashLoopBackOff. */
  reason?: string;
  /** Workers only. */
  kv?: { totalBlocks: number; usedBlocks: number; cachedBlocks: number };
  requests?: { running: number; waiting: number; total: number };
}

/** One item of `GET /api/events` (SSE; `id:` is the sequence). */
export type LabEvent =
  | { type: 'step'; lab: string; step: StepSummary }
  | { type: 'report'; report: CheckReport }
  | { type: 'topology'; topology: TopologySnapshot }
  | { type: 'reset'; lab: string };
