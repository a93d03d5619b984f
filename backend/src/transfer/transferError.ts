import type { NativeTransferFailure, NativeTransferResult } from '@dynamo-labs/native';

/** NIXL's status names where they exist, and what NIXL cannot say. Each with its cause: docs/kv-transfer.md. */
export type TransferCode =
  | 'INVALID_PARAM'
  | 'NOT_FOUND'
  | 'MISMATCH'
  | 'UNAUTHORIZED'
  | 'BACKEND'
  | 'REMOTE_DISCONNECT'
  | 'CANCELED'
  | 'EXPIRED'
  | 'EPOCH_MISMATCH'
  | 'CHECKSUM'
  | 'DEADLINE'
  | 'ADMISSION'
  | 'PROTOCOL'
  | 'NOT_SUPPORTED'
  | 'CLOSED'
  | 'REPOST_ACTIVE';

export type TransferPhase = 'queued' | 'connect' | 'handshake' | 'map' | 'read' | 'notify' | 'done';
export type TransportName = 'none' | 'shm' | 'uds' | 'tcp' | 'ucx';

export interface TransferErrorDetails {
  phase?: TransferPhase;
  peer?: string;
  transport?: TransportName;
  /** 0 where no system call failed. */
  errno?: number;
  bytesDone?: number;
  blocksDone?: number;
  /** The same read with the same grant may succeed later. */
  retryable?: boolean;
  /** How far it came, step by step. */
  result?: NativeTransferResult;
}

/** Every way in which the transfer engine says no. */
export class TransferError extends Error {
  readonly code: TransferCode;
  readonly phase: TransferPhase;
  readonly peer: string;
  readonly transport: TransportName;
  readonly errno: number;
  readonly bytesDone: number;
  readonly blocksDone: number;
  readonly retryable: boolean;
  readonly result: NativeTransferResult | undefined;

  constructor(code: TransferCode, message: string, details: TransferErrorDetails = {}, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.name = 'TransferError';
    this.code = code;
    this.phase = details.phase ?? 'queued';
    this.peer = details.peer ?? '';
    this.transport = details.transport ?? 'none';
    this.errno = details.errno ?? 0;
    this.bytesDone = details.bytesDone ?? 0;
    this.blocksDone = details.blocksDone ?? 0;
    this.retryable = details.retryable ?? false;
    this.result = details.result;
  }

  static fromResult(result: NativeTransferResult): TransferError {
    const { peer, bytesDone, blocksDone, errno, retryable } = result;
    const transport = result.transport as TransportName;
    const phase = result.phase as TransferPhase;
    return new TransferError(result.code as TransferCode, result.message, { phase, peer, transport, errno, bytesDone, blocksDone, retryable, result });
  }
}

/** Calls the engine; what it throws becomes a {@link TransferError}. */
export function engineCall<T>(call: () => T): T {
  try {
    return call();
  } catch (cause) {
    const failure = cause as Partial<NativeTransferFailure>;
    if (typeof failure?.code !== 'string' || typeof failure.phase !== 'string') throw cause;
    throw new TransferError(
      failure.code as TransferCode,
      failure.message ?? '',
      { phase: failure.phase as TransferPhase, errno: failure.errno ?? 0 },
      { cause },
    );
  }
}
