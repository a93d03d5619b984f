import type { TopologySnapshot } from '../protocol/index.ts';
import type { ClusterView } from '../validation/index.ts';
import { topologySnapshot } from './topology.ts';

const intervalMs = 1_000;

/** Looks at the topology once a second while somebody watches, and reports it when it changed. */
export class TopologyWatch {
  readonly #cluster: ClusterView;
  readonly #watched: () => boolean;
  readonly #onChange: (snapshot: TopologySnapshot) => void;
  #timer: NodeJS.Timeout | undefined;
  #last = '';
  #closed = false;

  constructor(options: { cluster: ClusterView; watched: () => boolean; onChange: (snapshot: TopologySnapshot) => void }) {
    this.#cluster = options.cluster;
    this.#watched = options.watched;
    this.#onChange = options.onChange;
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#look(), intervalMs);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    if (this.#watched()) {
      const snapshot = await topologySnapshot(this.#cluster);
      const { time: _, ...content } = snapshot;
      const text = JSON.stringify(content);
      if (text !== this.#last && !this.#closed) {
        this.#last = text;
        this.#onChange(snapshot);
      }
    } else {
      // The next watcher gets a first snapshot, whatever the last one saw.
      this.#last = '';
    }
    this.#schedule();
  }
}
