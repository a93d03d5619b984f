import type { KvConnector, KvLoadResult } from './kvConnector.ts';
import type { Sequence } from './sequence.ts';

/** Sequences whose blocks are being read from another worker. Their blocks are nobody else's until the read has settled, cancelled or not. */
export class RemoteLoads {
  readonly #connector: KvConnector;
  readonly #settled: (sequence: Sequence, result: KvLoadResult) => void;
  readonly #running = new Map<Sequence, { abort: AbortController; done: Promise<void> }>();

  constructor(connector: KvConnector, settled: (sequence: Sequence, result: KvLoadResult) => void) {
    this.#connector = connector;
    this.#settled = settled;
  }

  /** Reads what the prompt's blocks after the first `cachedBlocks` are to hold; not before these blocks are `ready` to be written. */
  start(sequence: Sequence, cachedBlocks: number, blockTokens: number, ready: Promise<void>): void {
    const abort = new AbortController();
    const remoteTokens = sequence.remoteTokens ?? 0;
    const load = {
      request: sequence.request,
      cachedBlocks,
      blocks: sequence.blockTable.slice(cachedBlocks, Math.ceil(remoteTokens / blockTokens)),
      tokens: Math.max(0, remoteTokens - cachedBlocks * blockTokens),
      waitUs: Math.round((performance.now() - sequence.arrivedAt) * 1000),
      early: sequence.fetchOnly,
    };
    const done = ready
      .then(() => this.#connector.load(load, abort.signal))
      .catch((error: unknown) => failedLoad(error as Error))
      .then((result) => {
        this.#running.delete(sequence);
        this.#settled(sequence, result);
      });
    this.#running.set(sequence, { abort, done });
  }

  /** Settles soon, by the same way. */
  cancel(sequence: Sequence): void {
    this.#running.get(sequence)?.abort.abort();
  }

  /** Cancels all and waits for them. */
  async close(): Promise<void> {
    const running = [...this.#running.values()];
    for (const { abort } of running) abort.abort();
    await Promise.all(running.map(({ done }) => done));
  }
}

function failedLoad(error: Error): KvLoadResult {
  const counts = { blocks: 0, block_bytes: 0, bytes: 0, tokens: 0, wait_us: 0, transfer_us: 0, retries: 0 };
  const account = { status: 'failed' as const, transport: 'none', ...counts, resumed: false, error: { code: 'BACKEND', message: error.message } };
  return { outcome: 'failed', account, error: { code: 'KV_TRANSFER_FAILED', message: error.message } };
}
