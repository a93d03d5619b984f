/** KV transfer engine in C++: what `NativeAddon` offers for it (Linux). Lengths and offsets are bytes; ids are numbers below 2^53; epochs bigints. */
export interface NativeTransferAddon {
  /** `wake` is called on this thread, once per batch of events. Throws an Error with `code`, `phase`, `errno`. */
  TransferAgent: new (options: NativeTransferAgentOptions, wake: () => void) => NativeTransferAgent;
  /** The UCX that the transport `ucx` uses, or why there is none. Loads it. */
  ucxLibrary(): { version: string } | { missing: string };
  /** For benchmarks, synchronous: seconds that one memcpy per piece takes. */
  ceilingCopy(to: ArrayBuffer, from: ArrayBuffer, options: { pieces: Float64Array }): number;
  /** For benchmarks, synchronous: seconds that plain send and recv over loopback take; 0 if that failed. */
  ceilingSocket(to: ArrayBuffer, from: ArrayBuffer, tcp: boolean): number;
}

export interface NativeTransferAgentOptions {
  /** Unique among the agents that meet. */
  name: string;
  /** What both sides must share for the bytes to mean the same: model, dtype, layers, heads, block size, layout. */
  fingerprint: string;
  /** Shared secret: who does not know it is refused. */
  token: string;
  /** `unix:/path`, `unix:@name`, `tcp:127.0.0.1:0`, `tcp:[::1]:0`, and where UCX is installed `ucx:127.0.0.1:0`. None: the agent only reads. */
  listen: string[];
  /** Threads that copy out of shared memory. Default 2, or 1 where there is one processor. */
  workers?: number;
  /** Data connections to each peer over sockets, and the threads that they live on. Default 2, or 1 where there is one processor. */
  lanes?: number;
  /** Bytes that are requested, verified and resumed as one: 4 KiB to 4 MiB. Default 256 KiB. */
  chunkBytes?: number;
  /** Bytes asked of one peer and not yet verified. Default 8 MiB. */
  peerWindowBytes?: number;
  /** The same over all peers. Default 64 MiB. */
  windowBytes?: number;
  /** Reads under way; more are refused with ADMISSION. Default 4096. */
  maxTransfers?: number;
  /** Connections of readers, three of each over sockets. Default 384. */
  maxConnections?: number;
  /** A connection must have proved itself by then. Default 2000. */
  handshakeMs?: number;
  /** Reads of at most so many bytes over a mapped pool are copied on the calling thread. Default 64 KiB. */
  inlineBytes?: number;
  faultSeed?: number;
  faults: NativeFault[];
}

export interface NativeFault {
  kind: string;
  side: 'read' | 'serve';
  afterBytes?: number;
  withinBytes?: number;
  times?: number;
  ms?: number;
  bytesPerSecond?: number;
  pid?: number;
}

export interface NativeGrantRef {
  id: number;
  pool: number;
  slot: number;
  clock: number;
}

export interface NativeTransferOptions {
  peer: string;
  epoch: bigint;
  addresses: string[];
  grant: NativeGrantRef;
  localPool: number;
  /** Triples: offset in the owner's pool, offset in ours, length. */
  pieces: Float64Array;
  transports: string[];
  deadlineMs: number;
  verify: boolean;
  notification: string;
}

export interface NativeTransferFailure {
  code: string;
  phase: string;
  errno: number;
  message: string;
  retryable: boolean;
}

export interface NativeTransferResult extends NativeTransferFailure {
  id: number;
  peer: string;
  transport: string;
  bytes: number;
  bytesDone: number;
  blocksDone: number;
  chunks: number;
  chunksDone: number;
  pieces: number;
  retries: number;
  checksumFailures: number;
  resumedBytes: number;
  durationUs: number;
  timelineDropped: number;
  fallbacks: (NativeTransferFailure & { from: string })[];
  timeline: { what: string; atUs: number; detail?: string }[];
}

export type NativeTransferEvent =
  | { type: 'settled'; result: NativeTransferResult }
  | { type: 'notification'; from: string; payload: Buffer }
  | { type: 'grant'; id: number; pool: number; end: string; requestId: string; bytes: number; bytesServed: number; renewals: number; releases: number }
  | ({ type: 'refused'; peer: string } & NativeTransferFailure);

export interface NativeTransferMetrics {
  bytesRead: Record<string, number>;
  transfers: Record<string, Record<string, number>>;
  fallbacks: Record<string, number>;
  refused: Record<string, number>;
  leasesEnded: Record<string, number>;
  /** Counts of reads of at most 100 µs, 1 ms, 10 ms, 100 ms, 1 s, 10 s, and longer. */
  durationBuckets: number[];
  durationUsSum: number;
  durationCount: number;
  bytesServed: number;
  retries: number;
  resumedBytes: number;
  checksumFailures: number;
  inlineReads: number;
  creditStalls: number;
  notificationsSent: number;
  notificationsReceived: number;
  notificationsRepeated: number;
  leasesGranted: number;
  leasesRenewed: number;
  leasesLive: number;
}

/** One IO thread and a fixed number of threads for bulk. The process stays alive while a read or write is under way, and only then. */
export interface NativeTransferAgent {
  readonly epoch: bigint;
  metadata(): Buffer;
  /**
   * The buffer keeps its memory alive, also after `close`. With `memory` the pool is that buffer, which is kept until the pool is dropped and must not
   * be transferred to another thread meanwhile; readers cannot map it.
   */
  createPool(options: { bytes: number; blockBytes: number; prefault: boolean; memory?: ArrayBuffer }): { id: number; buffer: ArrayBuffer };
  dropPool(id: number): void;
  withdraw(pool: number, firstBlock: number, count: number): void;
  /** `ranges`: pairs of offset and length. */
  grant(options: { pool: number; ranges: Float64Array; leaseMs: number; readers: number; writable: boolean; requestId: string }): NativeGrantRef;
  renew(grant: number): boolean;
  revoke(grant: number): boolean;
  /** The id of a read under way, or the result of one that is already over. */
  read(options: NativeTransferOptions & { release: boolean; blockBytes: number }): number | NativeTransferResult;
  write(options: NativeTransferOptions): number;
  cancel(id: number): void;
  /** Nothing once it has settled. */
  progress(id: number): { bytesDone: number; bytes: number; phase: string; transport: string } | undefined;
  notify(options: { peer: string; epoch: bigint; addresses: string[]; payload: string }): void;
  drain(): NativeTransferEvent[];
  metrics(): NativeTransferMetrics;
  faultReports(): { kind: string; side: 'read' | 'serve'; atByte: number }[];
  /** Joins all threads; what was under way is drained as CLOSED. Idempotent. */
  close(): void;
}
