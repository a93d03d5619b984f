/** How to run one supervised program. */
export interface ProcessSpec {
  /** Unique in the stack; names the log file too. */
  name: string;
  /** `argv[0]` is an absolute path. */
  argv: string[];
  /** The complete environment. */
  env: Record<string, string>;
  cwd?: string;
  /** stdout and stderr are appended here. */
  logFile: string;
  /** TCP ports it listens on, for `status`. */
  ports: number[];
  /** Processes of a higher stage stop first. Equal stages stop together. */
  stage: number;
  /** Runs before each spawn, e.g. to remove a stale socket. */
  prepare?: () => Promise<void>;
  /** Resolves when the program serves; rejects while it does not. Called again and again until `readyTimeoutMs` has passed. */
  probe?: (signal: AbortSignal) => Promise<void>;
  readyTimeoutMs: number;
  /** From SIGTERM to SIGKILL. */
  stopTimeoutMs: number;
}

/** `restarting`: it died and waits for, or is in, its next attempt. `failed`: its first start did not succeed. */
export type ProcessState = 'starting' | 'running' | 'restarting' | 'stopping' | 'stopped' | 'failed';
