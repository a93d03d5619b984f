/** Dynamo's DYN_TCP_* settings, in milliseconds and bytes. */
export interface TcpOptions {
  /** DYN_TCP_RPC_HOST: what a server binds and announces. */
  host: string;
  /** DYN_TCP_RPC_PORT; 0 is any free port. */
  port: number;
  maxMessageBytes: number;
  /** Until a worker accepts a request. */
  requestTimeoutMs: number;
  connectTimeoutMs: number;
  /** Connections per worker. A connection carries many requests; another is opened when all are busy. */
  poolSize: number;
  /** Response messages that may be under way per request before the worker waits for the reader. */
  channelBuffer: number;
  /** A connection with requests in flight is pinged this often, and lost after three silent intervals. */
  heartbeatMs: number;
}

export function tcpOptionsFromEnv(env: NodeJS.ProcessEnv = process.env): TcpOptions {
  const number = (name: string, fallback: number): number => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0) throw new RangeError(`${name} must be a non-negative integer, got "${text}"`);
    return value;
  };
  return {
    host: env['DYN_TCP_RPC_HOST'] ?? env['POD_IP'] ?? '127.0.0.1',
    port: number('DYN_TCP_RPC_PORT', 0),
    maxMessageBytes: number('DYN_TCP_MAX_MESSAGE_SIZE', 32 * 1024 * 1024),
    requestTimeoutMs: number('DYN_TCP_REQUEST_TIMEOUT', 10) * 1000,
    connectTimeoutMs: number('DYN_TCP_CONNECT_TIMEOUT', 3) * 1000,
    poolSize: number('DYN_TCP_POOL_SIZE', 50),
    channelBuffer: number('DYN_TCP_CHANNEL_BUFFER', 100),
    heartbeatMs: 5_000,
  };
}
