import { describe, expect, it } from 'vitest';
import { RouterError } from '../router/index.ts';
import { ConnectionLostError, DeadlineExceededError, RemoteError, RequestRefusedError } from '../runtime/index.ts';
import { DisaggregationError } from './disaggregationError.ts';
import { dispatchApiError } from './dispatchApiError.ts';
import { causeOf } from './requestCause.ts';
import { WorkerLostError } from './workerLostError.ts';

const at = { plane: 'tcp', address: '10.0.0.1:5' };
const failures: [Error, string, string][] = [
  [new RemoteError('KV_TRANSFER_FAILED', 'EXPIRED', at), 'kv_transfer', 'KV_TRANSFER_FAILED'],
  [new RequestRefusedError('KV_INCOMPATIBLE', '16, 32', at), 'kv_transfer', 'KV_INCOMPATIBLE'],
  [new RemoteError('STEP_FAILED', 'no step', at), 'engine', 'STEP_FAILED'],
  [new RequestRefusedError('PROMPT_TOO_LONG', 'long', at), 'engine', 'PROMPT_TOO_LONG'],
  [new RequestRefusedError('DRAINING', 'going', at), 'request', 'DRAINING'],
  [new ConnectionLostError('read ECONNRESET', at), 'request', 'CONNECTION_LOST'],
  [new DeadlineExceededError('response', 5, at), 'request', 'DEADLINE_EXCEEDED'],
  [new RouterError('ALL_WORKERS_BUSY', 'busy', 'active-prefill-tokens'), 'router', 'ALL_WORKERS_BUSY'],
  [new Error('out of order'), 'engine', 'INTERNAL'],
];

describe('causeOf', () => {
  it.each(failures)('%s: %s', (error, plane, code) => {
    expect(causeOf(error)).toMatchObject({ plane, code });
    expect(causeOf(dispatchApiError(error, 529))).toMatchObject({ plane, code });
    const handoff = new DisaggregationError('HANDOFF_FAILED', causeOf(error), { cause: error });
    expect(causeOf(handoff)).toMatchObject({ plane, code });
  });

  it('sees through a lost worker, and names no plane that only carried the word', () => {
    const lost = new ConnectionLostError('read ECONNRESET', at);
    expect(causeOf(new WorkerLostError(1n, 'decode', lost))).toEqual({
      plane: 'request',
      code: 'CONNECTION_LOST',
      message: 'request plane (tcp) 10.0.0.1:5: read ECONNRESET',
    });
    expect(causeOf(failures[0]![0]).message).toBe('worker 10.0.0.1:5: KV_TRANSFER_FAILED: EXPIRED');
  });
});
