import { nativeAddon } from '@dynamo-labs/native';
import type { HeldPrompt, KvCacheShape, KvConnector, KvLoad, KvLoadResult } from '../../engine/index.ts';
import type { Logger, MetricsRegistry } from '../../observability/index.ts';
import type { DisaggregatedParams, KvCompatibility, KvTransferParams, PreprocessedRequest } from '../../protocol/index.ts';
import { TransferAgent, transferMetrics, type TransferPool } from '../../transfer/index.ts';
import { EarlyOffers } from './earlyOffers.ts';
import { GrantedPrompts } from './grantedPrompts.ts';
import { kvCompatibility } from './kvCompatibility.ts';
import { KvReader } from './kvReader.ts';
import type { DisaggregationMode } from './kvTransferConfig.ts';
import { kvUnfit } from './kvUnfit.ts';
import { heartbeatOf, LeaseHeartbeats } from './leaseHeartbeats.ts';
import { NixlStats } from './nixlStats.ts';
import { promptDigest } from './promptDigest.ts';
import type { TransferSettings } from './transferSettings.ts';

export interface NixlConnectorOptions {
  mode: DisaggregationMode;
  instanceId: bigint;
  pod?: string;
  settings: TransferSettings;
  /** Compute a prompt here after a failed read; default: the request fails. */
  recompute: boolean;
  /** Default false: offer a prompt's blocks while the rest of it is computed. */
  overlap?: boolean;
  /** Default true: sum up transfers in the log. */
  logStats?: boolean;
  logger: Logger;
}

/** What exists from the moment the engine has told its pool's shape. */
interface Registered {
  agent: TransferAgent;
  pool: TransferPool;
  compatibility: KvCompatibility;
  granted: GrantedPrompts;
  early: EarlyOffers;
  reader: KvReader;
  heartbeats: LeaseHeartbeats;
}

/** The engine's KV pool in memory that other workers may read, and their pools in reach: vLLM's NixlConnector over our transfer engine. */
export class NixlConnector implements KvConnector, Disposable {
  readonly stats: NixlStats;
  readonly #options: NixlConnectorOptions;
  readonly #blocksEverGranted = new Set<number>();
  #registered: Registered | undefined;

  constructor(options: NixlConnectorOptions) {
    this.#options = options;
    this.stats = new NixlStats(options.logger, { quiet: options.logStats === false });
  }

  registerKvCaches(shape: KvCacheShape): ArrayBuffer {
    const { mode, instanceId, pod, settings, recompute, logger } = this.#options;
    const { listen, token, leaseMs, readMs, transports, faults } = settings;
    const name = pod === undefined ? `${instanceId}` : `${instanceId}-${pod}`;
    const agent = new TransferAgent({ name, fingerprint: shape.fingerprint, token, listen, ...(faults && { faults }) });
    try {
      const { blocks, blockBytes } = shape;
      // Only a prefill worker's pool must be memory that readers can map; private pages can be huge ones, which attention is faster over.
      const memory = mode === 'prefill' ? undefined : nativeAddon().allocatePages(blocks * blockBytes);
      const pool = agent.createPool({ blocks, blockBytes, prefault: false, ...(memory && { memory }) });
      const granted = new GrantedPrompts(agent, pool, { leaseMs, logger, stats: this.stats });
      const early = new EarlyOffers(agent, pool, { leaseMs });
      const reader = new KvReader(agent, pool, { readMs, transports, recompute, logger, stats: this.stats });
      const heartbeats = new LeaseHeartbeats(agent);
      agent.onNotification(({ payload }) => granted.renew(heartbeatOf(payload)));
      this.#registered = { agent, pool, compatibility: kvCompatibility(shape), granted, early, reader, heartbeats };
    } catch (error) {
      agent.close();
      throw error;
    }
    logger.info(`Registering KV_Caches. blocks: ${shape.blocks}, block bytes: ${shape.blockBytes}`, { agent: name, addresses: agent.addresses.join(' ') });
    if (faults !== undefined)
      logger.warn('KV transfer faults are injected, as DYNAMO_LABS_TRANSFER_FAULTS says', { faults: faults.plan.length, seed: faults.seed });
    return this.#registered.pool.buffer;
  }

  remoteTokens(request: PreprocessedRequest): number | undefined {
    return remoteParams(request)?.remote_num_tokens;
  }

  /** Why this request's blocks cannot be read here, before anything moves; undefined where they can. */
  incompatibility(request: PreprocessedRequest): string | undefined {
    const params = remoteParams(request);
    if (params === undefined) return undefined;
    return kvUnfit(this.#open.compatibility, params, request.token_ids);
  }

  queued(request: PreprocessedRequest): void {
    this.#open.heartbeats.start(request, remoteParams(request) ?? {});
  }

  load(load: KvLoad, signal: AbortSignal): Promise<KvLoadResult> {
    this.#open.heartbeats.stop(load.request);
    return this.#open.reader.load(remoteParams(load.request) ?? {}, load, signal);
  }

  abandon(request: PreprocessedRequest): void {
    this.#open.heartbeats.stop(request);
    const grant = remoteParams(request)?.grant;
    if (grant !== undefined) this.#open.reader.release(grant);
  }

  requestFinished(request: PreprocessedRequest, held: HeldPrompt): DisaggregatedParams {
    const params = this.#remoteParams(request, held);
    if (held.blocks.length === 0) held.release();
    else {
      const { grant, remoteId } = this.#open.granted.grant(request.request_id, held);
      this.#granted(held.blocks);
      Object.assign(params, { grant, remote_request_id: remoteId });
    }
    return { worker_id: String(this.#options.instanceId), kv_transfer_params: params };
  }

  wantsEarly(request: PreprocessedRequest): boolean {
    return this.#options.overlap === true && this.#open.early.wanted(request);
  }

  offerEarly(request: PreprocessedRequest, held: HeldPrompt): DisaggregatedParams {
    const grant = this.#open.early.grant(request, held);
    this.#granted(held.blocks);
    const params = { ...this.#remoteParams(request, held), grant, remote_prefill_in_progress: true };
    return { worker_id: String(this.#options.instanceId), kv_transfer_params: params };
  }

  /** No grant of them lives any more; a reader that has not noticed yet must not take what comes next for what was granted. */
  blocksReused(blocks: readonly number[]): void {
    for (const block of blocks) if (this.#blocksEverGranted.delete(block)) this.#registered?.pool.withdraw(block);
  }

  /** Before leaving: resolves when nobody is to read blocks here any more, false when `deadlineMs` passed first. */
  idle(deadlineMs: number): Promise<boolean> {
    return this.#registered?.granted.idle(deadlineMs) ?? Promise.resolve(true);
  }

  /** No decode worker will come for this prompt. False where it is not held. */
  cancel(remoteRequestId: string): boolean {
    return this.#registered?.granted.cancel(remoteRequestId) ?? false;
  }

  /** Planned faults that have taken effect. */
  get faultEffects(): number {
    return this.#registered?.agent.faultReports().length ?? 0;
  }

  /** For `/engine/state`. */
  state(heldBlocks: number): unknown {
    const { mode, settings } = this.#options;
    const { agent, granted, early } = this.#open;
    const { bytesRead, bytesServed, transfers, retries, resumedBytes, checksumFailures } = agent.native.metrics();
    const { expiredRequests, releasedRequests, cancelledRequests, failedTransfers } = this.stats;
    return {
      mode,
      agent: agent.name,
      addresses: agent.addresses,
      lease_seconds: settings.leaseMs / 1000,
      transport: { bytes_read: bytesRead, bytes_served: bytesServed, transfers, retries, resumed_bytes: resumedBytes, checksum_failures: checksumFailures },
      grants: { open: granted.open, early: early.open, expired: expiredRequests, released: releasedRequests, cancelled: cancelledRequests },
      failed_transfers: failedTransfers,
      held_blocks: heldBlocks,
      faults: { planned: settings.faults?.plan.length ?? 0, taken_effect: agent.faultReports() },
    };
  }

  registerMetrics(metrics: MetricsRegistry): void {
    this.stats.register(metrics);
  }

  /** The transfer engine's own metrics. */
  metricsText(): string {
    return this.#registered === undefined ? '' : transferMetrics(this.#registered.agent);
  }

  [Symbol.dispose](): void {
    this.stats[Symbol.dispose]();
    this.#registered?.heartbeats[Symbol.dispose]();
    this.#registered?.agent.close();
  }

  #remoteParams(request: PreprocessedRequest, { blocks, tokens }: HeldPrompt): KvTransferParams {
    const { agent, compatibility } = this.#open;
    return {
      do_remote_prefill: true,
      do_remote_decode: false,
      remote_engine_id: agent.name,
      remote_block_ids: [...blocks],
      remote_request_id: request.request_id,
      ...hostAndPort(agent.addresses),
      tp_size: 1,
      remote_num_tokens: tokens,
      prompt_digest: promptDigest(request.token_ids, tokens),
      compatibility,
    };
  }

  #granted(blocks: readonly number[]): void {
    for (const block of blocks) this.#blocksEverGranted.add(block);
  }

  get #open(): Registered {
    if (this.#registered === undefined) throw new Error('registerKvCaches was not called');
    return this.#registered;
  }
}

function remoteParams(request: PreprocessedRequest): KvTransferParams | undefined {
  const params = request.prefill_result?.disaggregated_params.kv_transfer_params;
  return params?.do_remote_prefill === true ? params : undefined;
}

function hostAndPort(addresses: readonly string[]): { remote_host?: string; remote_port?: number } {
  const tcp = addresses.map((address) => /^tcp:\[?([^\]]+)\]?:(\d+)$/.exec(address)).find((match) => match !== null);
  return tcp ? { remote_host: tcp[1]!, remote_port: Number(tcp[2]) } : {};
}
