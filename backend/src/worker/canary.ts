import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../observability/index.ts';
import type { EngineOutput } from '../protocol/index.ts';
import { float, fromEnv } from '../runtime/commandLine.ts';
import { DeadlineExceededError, RemoteError, type Discovery, type Instance, type RequestPlaneClient } from '../runtime/index.ts';

export interface CanaryTimes {
  /** An idle worker is asked so often. */
  waitMs: number;
  timeoutMs: number;
}

/** `DYN_CANARY_WAIT_TIME` and `DYN_HEALTH_CHECK_REQUEST_TIMEOUT`, both in seconds. Throws `CommandLineExit` for what is no number. */
export function canaryTimes(env: NodeJS.ProcessEnv): CanaryTimes {
  const seconds = (name: string, fallback: number): number => fromEnv(env, name, float(0.001), fallback) * 1000;
  return { waitMs: seconds('DYN_CANARY_WAIT_TIME', 10), timeoutMs: seconds('DYN_HEALTH_CHECK_REQUEST_TIMEOUT', 3) };
}

/** `DYN_HEALTH_CHECK_ENABLED`. */
export function canaryEnabled(env: NodeJS.ProcessEnv): boolean {
  return ['1', 'true'].includes((env['DYN_HEALTH_CHECK_ENABLED'] ?? '').toLowerCase());
}

export interface CanaryOptions extends CanaryTimes {
  discovery: Discovery;
  requests: RequestPlaneClient;
  namespace: string;
  component: string;
  endpoint: string;
  /** This worker's own address on the request plane. */
  address: string;
  /** A prompt token that the model knows. */
  token: number;
  /** Steps that the engine has computed: while they grow nobody needs to ask. */
  steps: () => number;
  onHealth: (healthy: boolean) => void;
  logger: Logger;
}

/** How many waits a new worker has until discovery must show it: its pod has to become ready first. */
const waitsUntilVisible = 3;

/**
 * Dynamo's canary (`DYN_HEALTH_CHECK_ENABLED`): a worker that computed nothing for a while sends itself a request of one token, found through discovery
 * and sent over the request plane like anybody's. An answer makes the endpoint healthy; no answer, or not being found, unhealthy. A worker that is
 * unhealthy is not in discovery and is asked at its own address, or it could never recover.
 */
export class Canary implements AsyncDisposable {
  readonly #options: CanaryOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #self: Instance | undefined;
  #everVisible = false;
  #healthy = true;

  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { discovery, namespace, endpoint, waitMs, steps, logger } = this.#options;
    const { signal } = this.#stop;
    logger.info(`Health check task started for: ${endpoint}`, { canary_wait_ms: waitMs });
    const mine = discovery.instanceId;
    const watch = discovery.watch(
      {
        added: (instance) => {
          if (instance.instanceId !== mine) return;
          this.#self = instance;
          this.#everVisible = true;
        },
        removed: (id) => {
          if (id === mine) this.#self = undefined;
        },
      },
      { namespace },
    );
    watch.catch((error: unknown) => logger.warn(`health check: discovery cannot be watched: ${(error as Error).message}`));
    let before = steps();
    for (let waits = 1; !signal.aborted; waits++) {
      await sleep(waitMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) break;
      const active = steps() !== before;
      if (active || this.#everVisible || waits >= waitsUntilVisible) this.#settle(active || (await this.#ask()));
      before = steps();
    }
    // A watch that never came up ends with its discovery.
    void watch.then(
      (subscription) => subscription[Symbol.dispose](),
      () => {},
    );
  }

  #settle(healthy: boolean): void {
    if (this.#stop.signal.aborted) return;
    if (healthy !== this.#healthy) this.#options.logger.info(`endpoint ${this.#options.endpoint} is ${healthy ? 'ready' : 'notready'}`);
    this.#healthy = healthy;
    this.#options.onHealth(healthy);
  }

  async #ask(): Promise<boolean> {
    const { discovery, requests, namespace, component, endpoint, address: own, token, timeoutMs, steps, logger } = this.#options;
    const address = this.#self?.endpoints[endpoint]?.tcp ?? (this.#healthy ? undefined : own);
    if (address === undefined) {
      const path = `v1/instances/${namespace}/${component}/${endpoint}`;
      logger.error(`Health check request failed for ${endpoint}: instance_id=${discovery.instanceId} not found for endpoint "${path}"`);
      return false;
    }
    const requestId = `health-check-${Date.now()}`;
    const payload = {
      request_id: requestId,
      model: '',
      token_ids: [token],
      stop_conditions: { max_tokens: 1, ignore_eos: true },
      sampling_options: { temperature: 0 },
      output_options: {},
      health_check: true,
    };
    const before = steps();
    try {
      const { signal } = this.#stop;
      for await (const output of requests.call<EngineOutput>({ address, endpoint, requestId, payload, deadlineMs: timeoutMs, signal })) {
        if (output.token_ids.length > 0) return true;
      }
      logger.warn(`Health check got no response from ${endpoint}`);
    } catch (error) {
      const late = error instanceof DeadlineExceededError || (error instanceof RemoteError && error.remoteCode === 'DEADLINE_EXCEEDED');
      // Behind a long prompt an answer may be late; a step in the meantime is a sign of life all the same.
      if (late && steps() !== before) return true;
      if (late) logger.warn(`Health check timeout for ${endpoint}`);
      else if (error instanceof RemoteError) logger.warn(`Health check error response from ${endpoint}: ${error.message}`);
      else logger.error(`Health check request failed for ${endpoint}: ${(error as Error).message}`);
    }
    return false;
  }
}
