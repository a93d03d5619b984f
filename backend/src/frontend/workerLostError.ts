import { ConnectFailedError, ConnectionLostError, DeadlineExceededError, RemoteError, RequestRefusedError, type RequestPlaneError } from '../runtime/index.ts';
import type { WorkerRole } from './workerPool.ts';

/** The worker that had been chosen is gone or going: another one may do. */
export class WorkerLostError extends Error {
  readonly code = 'WORKER_LOST';
  readonly workerId: bigint;
  readonly role: WorkerRole;
  override readonly cause: RequestPlaneError;
  constructor(workerId: bigint, role: WorkerRole, cause: RequestPlaneError) {
    super(cause.message, { cause });
    this.name = 'WorkerLostError';
    this.workerId = workerId;
    this.role = role;
    this.cause = cause;
  }
}

/** Handler codes of a worker that cannot go on with any request. */
const dyingCodes: ReadonlySet<string> = new Set(['ENGINE_CLOSED', 'ENGINE_DEAD']);

export function isLostWorker(error: unknown): error is RequestPlaneError {
  if (error instanceof ConnectFailedError || error instanceof ConnectionLostError) return true;
  if (error instanceof DeadlineExceededError) return error.phase === 'accept';
  if (error instanceof RemoteError) return dyingCodes.has(error.remoteCode);
  return error instanceof RequestRefusedError && (error.reason === 'DRAINING' || error.reason === 'UNKNOWN_ENDPOINT');
}
