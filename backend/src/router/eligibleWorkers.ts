import type { RouterMode } from '../protocol/index.ts';
import type { ActiveSequences } from './activeSequences.ts';
import { type BusyGate, busyGate, type BusyThresholds } from './busyThresholds.ts';
import { RouterError } from './routerError.ts';
import type { WorkerSlot, WorkerTable } from './workerTable.ts';

/** Which workers a request names or allows. */
export interface WorkerConstraints {
  /** Only this worker (and rank). */
  pin?: { workerId: bigint; dpRank?: number };
  /** Only these workers. */
  allowedWorkers?: ReadonlySet<bigint>;
}

interface EligibilityContext {
  mode: RouterMode;
  workers: WorkerTable;
  active: ActiveSequences;
  busy: BusyThresholds;
}

/** The ranks that may take a request, at least one. Throws `RouterError` whose `gate` names what refused. */
export function eligibleWorkers({ pin, allowedWorkers }: WorkerConstraints, { mode, workers, active, busy }: EligibilityContext): readonly WorkerSlot[] {
  if (mode === 'direct' && !pin) throw new RouterError('PIN_REQUIRED', 'Router mode `direct` needs a worker id with every request');
  let slots = workers.slots;
  if (allowedWorkers) slots = slots.filter(({ workerId }) => allowedWorkers.has(workerId));
  if (pin) {
    slots = slots.filter(({ workerId, dpRank }) => workerId === pin.workerId && (pin.dpRank === undefined || dpRank === pin.dpRank));
    if (slots.length === 0) {
      const rank = pin.dpRank === undefined ? '' : ` with dp rank ${pin.dpRank}`;
      throw new RouterError('PINNED_WORKER_NOT_FOUND', `No worker ${pin.workerId}${rank}`);
    }
  }
  if (slots.length === 0) throw new RouterError('NO_WORKERS', 'No worker is ready for this model');
  if (busy.activeDecodeBlocks === undefined && busy.activePrefillTokens === undefined && busy.activePrefillTokensFrac === undefined) return slots;
  const gates = new Set<BusyGate>();
  const free = slots.filter(({ slot, workerId }) => {
    const gate = busyGate(active.loadOf(slot), workers.get(workerId)!, busy);
    if (gate) gates.add(gate);
    return gate === undefined;
  });
  if (free.length > 0) return free;
  const gate = [...gates].sort().join('+');
  if (pin) throw new RouterError('PINNED_WORKER_BUSY', `Worker ${pin.workerId} is over its threshold for ${gate}`, gate);
  throw new RouterError('ALL_WORKERS_BUSY', `All ${slots.length} workers are over the threshold for ${gate}`, gate);
}
