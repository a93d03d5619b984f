import type { RequestCause } from '../protocol/index.ts';

/** Prefill and decode on two workers did not come about, and no other way is allowed. `stage` as in Dynamo's PrefillRouter. */
export class DisaggregationError extends Error {
  readonly code: 'NOT_ACTIVATED' | 'PREFILL_FAILED' | 'NO_DISAGGREGATED_PARAMS' | 'HANDOFF_FAILED';
  readonly requestCause: RequestCause;
  constructor(code: DisaggregationError['code'], requestCause: RequestCause, options?: ErrorOptions) {
    super(`${words[code]}: ${requestCause.plane} plane, ${requestCause.code}: ${requestCause.message}`, options);
    this.name = 'DisaggregationError';
    this.code = code;
    this.requestCause = requestCause;
  }
}

const words: Record<DisaggregationError['code'], string> = {
  NOT_ACTIVATED: 'disaggregated serving is enforced and no prefill worker is registered',
  PREFILL_FAILED: 'remote prefill failed',
  NO_DISAGGREGATED_PARAMS: 'remote prefill gave no disaggregated_params',
  HANDOFF_FAILED: 'the decode worker could not take over the KV blocks',
};
