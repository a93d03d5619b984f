/** What the doctor looks at: numbers that the router and its wiring have anyway. */
export interface RouterHealth {
  mode: string;
  kvEvents: boolean;
  blockSize: number;
  /** Workers that the graph asks for, where the wiring knows. */
  expectedWorkers?: number;
  /** e.g. `kubernetes`, and what workers say they register with. */
  discoveryBackend?: string;
  /** Event counts as `indexStats().events`. */
  events: Record<string, number>;
  workers: WorkerHealth[];
}

export interface WorkerHealth {
  worker_id: string;
  dp_rank: number;
  pod?: string | undefined;
  /** Requests finished here that had at least one full block to compute, since this worker's last event. */
  storesExpected: number;
  /** Milliseconds since the last event; `undefined` when there never was one. */
  sinceLastEventMs?: number | undefined;
  /** Missed events that no recovery has brought. */
  openGap?: { first: number; last: number } | undefined;
  /** From the worker's model card, where the wiring knows it. */
  cardBlockSize?: number | undefined;
  cardKvEvents?: string | undefined;
  cardDiscoveryBackend?: string | undefined;
}

export type FindingCode =
  | 'no-workers'
  | 'workers-missing'
  | 'discovery-backend-mismatch'
  | 'block-size-mismatch'
  | 'kv-events-off'
  | 'no-kv-events'
  | 'event-stream-stalled'
  | 'event-gap'
  | 'unknown-dp-rank'
  | 'orphan-blocks'
  | 'invalid-events';

export interface Finding {
  code: FindingCode;
  /** `error`: KV routing does not work as asked. `warning`: it works with less than it could know. */
  severity: 'error' | 'warning';
  worker_id?: string;
  message: string;
  /** What to do about it. */
  remedy: string;
}

/** So many requests that must have stored blocks, without an event, are no accident. */
const SILENT_STORES = 3;
const STALLED_AFTER_MS = 10_000;

/** Looks for the failures that Dynamo's users meet without an error message (reference: its issues #9200, #1232, #5001, #14314). */
export function examineRouter(health: RouterHealth): Finding[] {
  const findings: Finding[] = examineWorkerSet(health);
  for (const worker of health.workers) {
    findings.push(...examineCard(worker, health));
    if (health.mode === 'kv' && health.kvEvents) findings.push(...examineStream(worker));
  }
  return [...findings, ...examineCounts(health.events)];
}

function examineWorkerSet({ workers, expectedWorkers = 0, discoveryBackend }: RouterHealth): Finding[] {
  const seen = new Set(workers.map(({ worker_id }) => worker_id)).size;
  if (seen >= Math.max(expectedWorkers, 1)) return [];
  const where = discoveryBackend ? ` by ${discoveryBackend} discovery` : '';
  const remedy = 'Check that frontend and workers use the same discovery backend and namespace, and that worker pods are Ready.';
  if (seen === 0) return [{ code: 'no-workers', severity: 'error', message: `No worker was found${where}.`, remedy }];
  return [{ code: 'workers-missing', severity: 'warning', message: `${seen} of ${expectedWorkers} workers were found${where}.`, remedy }];
}

function examineCard(worker: WorkerHealth, { blockSize, kvEvents, mode, discoveryBackend }: RouterHealth): Finding[] {
  const findings: Finding[] = [];
  const { worker_id, cardBlockSize, cardKvEvents, cardDiscoveryBackend } = worker;
  if (cardBlockSize !== undefined && cardBlockSize !== blockSize) {
    const message = `${nameOf(worker)} has KV blocks of ${cardBlockSize} tokens, the router hashes blocks of ${blockSize}: no prefix will ever match.`;
    findings.push({ code: 'block-size-mismatch', severity: 'error', worker_id, message, remedy: 'Give frontend and worker the same block size.' });
  }
  if (mode === 'kv' && kvEvents && cardKvEvents === 'none') {
    const message = `${nameOf(worker)} publishes no KV events, so its cache is invisible and it is chosen by load only.`;
    const remedy = 'Turn on prefix caching and --kv-events-config at the worker, or start the frontend with --no-router-kv-events.';
    findings.push({ code: 'kv-events-off', severity: 'error', worker_id, message, remedy });
  }
  if (cardDiscoveryBackend !== undefined && discoveryBackend !== undefined && cardDiscoveryBackend !== discoveryBackend) {
    const message = `${nameOf(worker)} registers with ${cardDiscoveryBackend}, the frontend looks in ${discoveryBackend}.`;
    findings.push({ code: 'discovery-backend-mismatch', severity: 'error', worker_id, message, remedy: 'Set DYN_DISCOVERY_BACKEND alike everywhere.' });
  }
  return findings;
}

function examineStream(worker: WorkerHealth): Finding[] {
  const { worker_id, storesExpected, sinceLastEventMs, openGap } = worker;
  const findings: Finding[] = [];
  if (openGap) {
    const message = `${nameOf(worker)}: events ${openGap.first} to ${openGap.last} were missed, so its cache is known only in part.`;
    findings.push({
      code: 'event-gap',
      severity: 'warning',
      worker_id,
      message,
      remedy: 'The router asks the worker for them; if this stays, look at the event plane.',
    });
  }
  if (storesExpected < SILENT_STORES) return findings;
  if (sinceLastEventMs === undefined) {
    const message = `${nameOf(worker)} finished ${storesExpected} requests that must have stored blocks, and not one KV event came.`;
    findings.push({
      code: 'no-kv-events',
      severity: 'error',
      worker_id,
      message,
      remedy: 'Check that worker and frontend use the same event plane (DYN_EVENT_PLANE, NATS_SERVER).',
    });
  } else if (sinceLastEventMs > STALLED_AFTER_MS) {
    const message = `${nameOf(worker)}: no KV event for ${Math.round(sinceLastEventMs / 1000)} s, while ${storesExpected} requests must have stored blocks.`;
    findings.push({
      code: 'event-stream-stalled',
      severity: 'error',
      worker_id,
      message,
      remedy: 'The connection to its event publisher is probably dead: check the event plane and restart the side that lost it.',
    });
  }
  return findings;
}

function examineCounts(events: Record<string, number>): Finding[] {
  const findings: Finding[] = [];
  const total = (status: string): number => Object.entries(events).reduce((sum, [key, count]) => (key.endsWith(`/${status}`) ? sum + count : sum), 0);
  const add = (code: FindingCode, status: string, what: string, remedy: string): void => {
    const count = total(status);
    if (count > 0) findings.push({ code, severity: 'warning', message: `${count} KV event${count === 1 ? '' : 's'} ${what}.`, remedy });
  };
  add(
    'unknown-dp-rank',
    'unknown-rank',
    'named a data-parallel rank that the worker does not own',
    'Check --data-parallel-size and the rank offset of the workers.',
  );
  add(
    'orphan-blocks',
    'orphan',
    'continued a prefix that the router does not know',
    'Usually the trace of a missed event; a recovery of that worker mends it.',
  );
  add('invalid-events', 'invalid', 'could not be understood', 'Frontend and worker probably run different versions.');
  return findings;
}

const nameOf = ({ pod, worker_id, dp_rank }: WorkerHealth): string => `${pod ?? `worker ${worker_id}`}${dp_rank > 0 ? ` rank ${dp_rank}` : ''}`;
