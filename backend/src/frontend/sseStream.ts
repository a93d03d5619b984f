import type { ServerResponse } from 'node:http';
import { once } from 'node:events';

/** Server-sent events on one response. Waits for a slow reader; a reader that is gone ends the wait through `signal`. */
export class SseStream {
  readonly #response: ServerResponse;
  readonly #signal: AbortSignal;

  constructor(response: ServerResponse, signal: AbortSignal, headers: Record<string, string> = {}) {
    this.#response = response;
    this.#signal = signal;
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache', connection: 'keep-alive', ...headers });
    response.flushHeaders();
  }

  /** One event with JSON data. */
  async send(data: unknown, options: { event?: string; id?: string | number } = {}): Promise<void> {
    const head = `${options.event === undefined ? '' : `event: ${options.event}\n`}${options.id === undefined ? '' : `id: ${options.id}\n`}`;
    await this.#write(`${head}data: ${JSON.stringify(data)}\n\n`);
  }

  /** A comment: keeps the connection alive through proxies. */
  async comment(text: string): Promise<void> {
    await this.#write(`: ${text}\n\n`);
  }

  /** The mark with which OpenAI's streams end. */
  async done(): Promise<void> {
    await this.#write('data: [DONE]\n\n');
    this.#response.end();
  }

  end(): void {
    this.#response.end();
  }

  async #write(text: string): Promise<void> {
    this.#signal.throwIfAborted();
    if (!this.#response.write(text)) await once(this.#response, 'drain', { signal: this.#signal });
  }
}
