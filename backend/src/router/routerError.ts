/** Why a request could not be routed. `gate` names the rule that refused, so that every rejection can be traced. */
export type RouterErrorCode =
  | 'NO_WORKERS'
  | 'PINNED_WORKER_NOT_FOUND'
  | 'PINNED_WORKER_BUSY'
  | 'ALL_WORKERS_BUSY'
  | 'PIN_REQUIRED'
  | 'QUEUE_FULL'
  | 'INVALID_ROUTER_CONFIG'
  | 'EMPTY_PROMPT'
  | 'PROMPT_TOO_LONG'
  /** A decision was read after the store had dropped it. */
  | 'DECISION_EXPIRED';

export class RouterError extends Error {
  override readonly name = 'RouterError';
  readonly code: RouterErrorCode;
  readonly gate: string;
  constructor(code: RouterErrorCode, message: string, gate: string = code.toLowerCase().replaceAll('_', '-')) {
    super(message);
    this.code = code;
    this.gate = gate;
  }
}
