/** Things that were opened, closed in reverse order. One that fails to close does not keep the others open. */
export class Resources implements AsyncDisposable {
  readonly #opened: (Disposable | AsyncDisposable)[] = [];

  use<T extends Disposable | AsyncDisposable>(resource: T): T {
    this.#opened.push(resource);
    return resource;
  }

  /** Rejects with an `AggregateError` of what failed, after everything was tried. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let resource = this.#opened.pop(); resource !== undefined; resource = this.#opened.pop()) {
      try {
        if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
        else resource[Symbol.dispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, `closing failed: ${errors.map((error) => (error as Error).message).join('; ')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
