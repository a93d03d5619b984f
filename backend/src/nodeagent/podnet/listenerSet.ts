/** Everything that was opened and not closed yet. */
export class ListenerSet implements AsyncDisposable {
  readonly #open = new Set<AsyncDisposable>();

  add(listener: AsyncDisposable): AsyncDisposable {
    const tracked: AsyncDisposable = {
      [Symbol.asyncDispose]: async () => {
        if (this.#open.delete(tracked)) await listener[Symbol.asyncDispose]();
      },
    };
    this.#open.add(tracked);
    return tracked;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open].map((listener) => listener[Symbol.asyncDispose]()));
  }
}
