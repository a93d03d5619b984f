import type { BlockManager } from './blockManager.ts';

/** Blocks that finished prompts keep for decode workers. A block that several prompts share counts once. */
export class HeldBlocks {
  readonly #blocks: BlockManager;
  readonly #onRelease: () => void;
  readonly #holders = new Map<number, number>();

  constructor(blocks: BlockManager, onRelease: () => void) {
    this.#blocks = blocks;
    this.#onRelease = onRelease;
  }

  get size(): number {
    return this.#holders.size;
  }

  /** Keeps blocks that a sequence still has. The returned function gives them back; calling it again does nothing. */
  hold(ids: readonly number[]): () => void {
    this.#blocks.retain(ids);
    for (const id of ids) this.#holders.set(id, (this.#holders.get(id) ?? 0) + 1);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      for (const id of ids) {
        const left = this.#holders.get(id)! - 1;
        if (left > 0) this.#holders.set(id, left);
        else this.#holders.delete(id);
      }
      this.#blocks.release(ids);
      this.#onRelease();
    };
  }
}
