import { Signal } from '@lumino/signaling';
import type { ISignal } from '@lumino/signaling';
import type { IDisposable } from '@lumino/disposable';

import type { LabsApi } from '../api.ts';
import type { LabEvent } from '../protocol.ts';
import { EventStreamParser } from './eventStreamParser.ts';

/** `paused`: the browser tab is hidden. `down`: no stream; readers fall back to asking. */
export type LiveState = 'connecting' | 'live' | 'down' | 'paused';

const firstPauseMs = 500;
const longestPauseMs = 15_000;

/**
 * One stream of the backend's events for the whole page. Reconnects with growing pauses and resumes behind the last
 * event seen; rests while the tab is hidden.
 */
export class LiveEvents implements IDisposable {
  readonly #api: LabsApi;
  readonly #event = new Signal<this, LabEvent>(this);
  readonly #stateChanged = new Signal<this, LiveState>(this);
  readonly #onVisibility = (): void => this.#restart();
  #state: LiveState = 'connecting';
  #lastEventId: string | undefined;
  #run = new AbortController();
  #disposed = false;

  constructor(api: LabsApi) {
    this.#api = api;
    document.addEventListener('visibilitychange', this.#onVisibility);
    this.#restart();
  }

  get event(): ISignal<this, LabEvent> {
    return this.#event;
  }

  get stateChanged(): ISignal<this, LiveState> {
    return this.#stateChanged;
  }

  get state(): LiveState {
    return this.#state;
  }

  get isDisposed(): boolean {
    return this.#disposed;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#run.abort();
    document.removeEventListener('visibilitychange', this.#onVisibility);
    Signal.clearData(this);
  }

  #restart(): void {
    this.#run.abort();
    this.#run = new AbortController();
    if (document.visibilityState === 'hidden') this.#setState('paused');
    else void this.#stayConnected(this.#run.signal);
  }

  async #stayConnected(signal: AbortSignal): Promise<void> {
    let pause = firstPauseMs;
    while (!signal.aborted) {
      if (this.#state !== 'down') this.#setState('connecting');
      try {
        const response = await this.#api.events(this.#lastEventId, signal);
        this.#setState('live');
        pause = firstPauseMs;
        await this.#read(response.body!);
      } catch {
        // The state says it; the next round tries again.
      }
      if (signal.aborted) return;
      this.#setState('down');
      await sleep(pause, signal);
      pause = Math.min(longestPauseMs, pause * 2);
    }
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      for (const { id, data } of parser.push(decoder.decode(value, { stream: true }))) {
        if (id !== undefined) this.#lastEventId = id;
        this.#event.emit(JSON.parse(data) as LabEvent);
      }
    }
  }

  #setState(state: LiveState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#stateChanged.emit(state);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = window.setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      window.clearTimeout(timer);
      resolve();
    });
  });
}
