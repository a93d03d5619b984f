import type { KvLoad, KvLoadResult } from '../../engine/index.ts';
import type { Logger } from '../../observability/index.ts';
import type { KvTransferAccount, KvTransferParams } from '../../protocol/index.ts';
import { type Grant, parseGrant, type TransferAgent, TransferError, type TransferPool, type TransferReport, type TransportName } from '../../transfer/index.ts';
import type { NixlStats } from './nixlStats.ts';

export interface KvReaderOptions {
  readMs: number;
  transports: TransportName[] | undefined;
  /** Compute the prompt here after a failed read. */
  recompute: boolean;
  logger: Logger;
  stats: NixlStats;
}

/** The prefill worker is told that its blocks are not needed for so long at most. */
const releaseMs = 5_000;

/** Reads prompts' KV blocks out of other workers. */
export class KvReader {
  readonly #agent: TransferAgent;
  readonly #pool: TransferPool;
  readonly #options: KvReaderOptions;

  constructor(agent: TransferAgent, pool: TransferPool, options: KvReaderOptions) {
    this.#agent = agent;
    this.#pool = pool;
    this.#options = options;
  }

  /** Never rejects; when it has settled nothing is written to `load.blocks` any more. */
  async load(params: KvTransferParams, load: KvLoad, signal: AbortSignal): Promise<KvLoadResult> {
    const begin = performance.now();
    const account = emptyAccount(load, this.#pool.blockBytes);
    // A prompt of one token: nothing was computed before it, nothing is granted.
    if (params.grant === undefined && load.blocks.length === 0) return { outcome: 'loaded', account };
    try {
      const report = await this.#read(parseGrant(params.grant), load, signal);
      if (load.blocks.length === 0) return { outcome: 'loaded', account };
      return {
        outcome: 'loaded',
        account: { ...account, ...measures(report, begin), bytes: report.bytesDone, blocks: load.blocks.length, tokens: load.tokens },
      };
    } catch (cause) {
      this.release(params.grant);
      return this.#failed(cause as Error, account, load, begin, signal.aborted);
    }
  }

  /** Tells the owner that nobody here needs the blocks. */
  release(grant: unknown): void {
    try {
      this.#agent.read(parseGrant(grant), this.#pool, [], { only: [], deadlineMs: releaseMs }).done.catch(() => {});
    } catch {
      // Not a grant, or nobody to tell: a lease ends by itself.
    }
  }

  async #read(grant: Grant, { cachedBlocks, blocks }: KvLoad, signal: AbortSignal): Promise<TransferReport> {
    const { readMs, transports, stats } = this.#options;
    const begin = performance.now();
    const only = blocks.map((_, index) => cachedBlocks + index);
    const transfer = this.#agent.read(grant, this.#pool, blocks, { only, deadlineMs: readMs, signal, ...(transports && { transports }) });
    const postMs = performance.now() - begin;
    const report = await transfer.done;
    if (blocks.length > 0) stats.succeeded(report, postMs);
    return report;
  }

  #failed(cause: Error, account: KvTransferAccount, load: KvLoad, begin: number, aborted: boolean): KvLoadResult {
    const { recompute, logger, stats } = this.#options;
    const error = cause instanceof TransferError ? cause : new TransferError('BACKEND', cause.message, {}, { cause });
    const bytes = load.blocks.length * this.#pool.blockBytes;
    const message = `KV transfer from ${error.peer || 'the prefill worker'} over ${error.transport} failed in phase ${error.phase} after ${error.bytesDone} of ${bytes} bytes: ${error.message}`;
    if (!aborted) {
      stats.failedTransfers += 1;
      if (load.early) logger.warn(`${message}. Read again when the whole prompt has been computed`, { request_id: load.request.request_id });
      else logger.error(message, { request_id: load.request.request_id, policy: recompute ? 'recompute' : 'fail' });
    }
    const measured = error.result ? measures(error.result, begin) : { transfer_us: sinceUs(begin) };
    return {
      outcome: recompute ? 'recompute' : 'failed',
      account: { ...account, ...measured, status: 'failed', bytes: error.bytesDone, error: { code: error.code, message: error.message } },
      error: { code: 'KV_TRANSFER_FAILED', message },
    };
  }
}

function emptyAccount(load: KvLoad, blockBytes: number): KvTransferAccount {
  const none = { blocks: 0, bytes: 0, tokens: 0, transfer_us: 0, retries: 0, resumed: false };
  return { status: 'ok', transport: 'none', block_bytes: blockBytes, wait_us: load.waitUs, ...none };
}

function measures(report: TransferReport, begin: number) {
  return {
    transport: report.transport,
    transfer_us: sinceUs(begin),
    retries: report.retries,
    resumed: report.resumedBytes > 0,
    timeline: report.timeline.map(({ what, atUs, detail }) => ({ step: detail === undefined ? what : `${what}: ${detail}`, at_us: atUs })),
  };
}

function sinceUs(begin: number): number {
  return Math.round((performance.now() - begin) * 1000);
}
