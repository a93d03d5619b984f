/** KV transfer between processes: grants and leases, verified chunks, resume, faults. docs/kv-transfer.md follows one block through it. */
export type { Fault, FaultKind, TransferAgentOptions } from './agentOptions.ts';
export { type Grant, parseGrant } from './grant.ts';
export { type AgentMetadata, decodeMetadata } from './metadata.ts';
export {
  NixlAgent,
  type NixlDescriptor,
  type NixlNotifications,
  type NixlRegion,
  type NixlStatus,
  type NixlXferDlist,
  type NixlXferRequest,
} from './nixlAgent.ts';
export { transferMetrics } from './prometheus.ts';
export { Transfer, type TransferProgress, type TransferReport } from './transfer.ts';
export { type GrantEvent, type ReadOptions, type RefusedEvent, TransferAgent, type TransferNotification, type TransferOptions } from './transferAgent.ts';
export { ucxLibrary } from './ucxLibrary.ts';
export { type TransferCode, TransferError, type TransferErrorDetails, type TransferPhase, type TransportName } from './transferError.ts';
export { type GrantOptions, type PoolOptions, TransferPool } from './transferPool.ts';
