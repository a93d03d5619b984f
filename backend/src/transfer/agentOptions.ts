import type { NativeFault } from '@dynamo-labs/native';

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

export interface TransferAgentOptions {
  /** Unique among the agents that meet. */
  name: string;
  /** What both sides must share for the bytes to mean the same: model, dtype, layers, heads, block size, layout. */
  fingerprint: string;
  /** Shared secret: who does not know it is refused. */
  token: string;
  /** `unix:/path`, `unix:@name`, `tcp:127.0.0.1:0`, `tcp:[::1]:0`. Default: none, the agent only reads. */
  listen?: string[];
  /** Threads that copy out of shared memory. Default 1. */
  workers?: number;
  /** Bytes that are requested, verified and resumed as one: 4 KiB to 4 MiB. Default 256 KiB. */
  chunkBytes?: number;
  /** Bytes asked of one peer and not yet verified. Default 8 MiB. */
  peerWindowBytes?: number;
  /** The same over all peers. Default 64 MiB. */
  windowBytes?: number;
  /** Reads under way; more are refused with ADMISSION. Default 4096. */
  maxTransfers?: number;
  /** Connections of readers. Default 256. */
  maxConnections?: number;
  /** A connection must have proved itself by then. Default 2000. */
  handshakeMs?: number;
  /** Reads of at most so many bytes over a mapped pool are copied on the calling thread. Default 64 KiB. */
  inlineBytes?: number;
  /** Faults to inject, on loopback only. */
  faults?: { enable: true; seed: number; plan: Fault[] };
}
