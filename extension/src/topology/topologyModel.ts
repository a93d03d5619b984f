import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';
import type { IDisposable } from '@lumino/disposable';

import { ApiError } from '../api.ts';
import type { LabsApi } from '../api.ts';
import type { LiveEvents } from '../live/liveEvents.ts';
import type { LabEvent, TopologySnapshot } from '../protocol.ts';

/** How fresh the picture is. */
export type Freshness = 'live' | 'polling' | 'paused' | 'offline';

/** The newest topology while somebody looks: from events, else by asking. Rests while its view is hidden. */
export class TopologyModel implements IDisposable {
  readonly #api: LabsApi;
  readonly #live: LiveEvents;
  readonly #changed = new Signal<this, void>(this);
  readonly #poll: Poll;
  #snapshot: TopologySnapshot | undefined;
  #problem: string | undefined;
  #active = false;

  constructor(api: LabsApi, live: LiveEvents) {
    this.#api = api;
    this.#live = live;
    live.event.connect(this.#onEvent, this);
    live.stateChanged.connect(this.#onLiveState, this);
    this.#poll = new Poll({
      name: '@dynamo-labs/extension:topology',
      auto: false,
      factory: () => this.#load(),
      frequency: { interval: 3000, backoff: true, max: 30_000 },
      standby: () => !this.#active || this.#live.state === 'live' || document.visibilityState === 'hidden',
    });
  }

  get changed(): ISignal<this, void> {
    return this.#changed;
  }

  get snapshot(): TopologySnapshot | undefined {
    return this.#snapshot;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  get freshness(): Freshness {
    if (!this.#active || this.#live.state === 'paused') return 'paused';
    if (this.#problem !== undefined) return 'offline';
    return this.#live.state === 'live' ? 'live' : 'polling';
  }

  get isDisposed(): boolean {
    return this.#poll.isDisposed;
  }

  /** Whether the view can be seen. */
  set active(active: boolean) {
    if (active === this.#active) return;
    this.#active = active;
    if (active)
      void this.#load()
        .catch(() => undefined)
        .then(() => this.#poll.start());
    else this.#changed.emit();
  }

  dispose(): void {
    if (this.isDisposed) return;
    this.#poll.dispose();
    this.#live.event.disconnect(this.#onEvent, this);
    this.#live.stateChanged.disconnect(this.#onLiveState, this);
    Signal.clearData(this);
  }

  async #load(): Promise<void> {
    try {
      this.#snapshot = await this.#api.topology();
      this.#problem = undefined;
    } catch (error) {
      this.#problem = error instanceof ApiError ? error.message : String(error);
      throw error;
    } finally {
      if (!this.isDisposed) this.#changed.emit();
    }
  }

  #onEvent(_: LiveEvents, event: LabEvent): void {
    if (event.type !== 'topology' || !this.#active) return;
    this.#snapshot = event.topology;
    this.#problem = undefined;
    this.#changed.emit();
  }

  #onLiveState(): void {
    if (!this.#active) return;
    void this.#load().catch(() => undefined);
    void this.#poll.refresh();
  }
}
