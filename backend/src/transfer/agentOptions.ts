import type { NativeFault, NativeTransferAgentOptions } from '@dynamo-labs/native';

export type FaultKind =
  | 'reset'
  | 'half_close'
  | 'truncate'
  | 'stall'
  | 'rate'
  | 'delay'
  | 'flip'
  | 'duplicate'
  | 'reorder'
  | 'drop_notification'
  | 'refuse'
  | 'wrong_epoch'
  | 'expire'
  | 'kill';

/** One planned fault. It is reported when it has taken effect ({@link TransferAgent.faultReports}). */
export interface Fault extends NativeFault {
  kind: FaultKind;
}

export interface TransferAgentOptions extends Omit<NativeTransferAgentOptions, 'listen' | 'faults' | 'faultSeed'> {
  /** Default: none, the agent only reads. */
  listen?: string[];
  /** Faults to inject, on loopback only. */
  faults?: { enable: true; seed: number; plan: Fault[] };
}
