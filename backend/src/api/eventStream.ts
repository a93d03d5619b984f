import type { Request, Response } from 'express';
import type { LabEvent } from '../protocol/index.ts';

/** How many events a reconnecting browser can catch up on. */
const ringSize = 500;
const heartbeatMs = 15_000;

/** Server-sent events with ids: a client that comes back with `Last-Event-ID` gets what it missed, or a `reset` when that is gone. */
export class EventStream {
  readonly #ring: { id: number; event: LabEvent }[] = [];
  readonly #clients = new Set<Response>();
  readonly #heartbeat: NodeJS.Timeout;
  #last = 0;

  constructor() {
    this.#heartbeat = setInterval(() => {
      for (const client of this.#clients) client.write(': alive\n\n');
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  get clients(): number {
    return this.#clients.size;
  }

  publish(event: LabEvent): void {
    this.#last += 1;
    const item = { id: this.#last, event };
    this.#ring.push(item);
    if (this.#ring.length > ringSize) this.#ring.shift();
    for (const client of this.#clients) client.write(frame(item));
  }

  /** `snapshot` brings a new client up to date before the live events. */
  connect(request: Request, response: Response, snapshot: () => LabEvent[]): void {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
    const seen = Number(request.headers['last-event-id'] ?? Number.NaN);
    const oldest = this.#ring[0]?.id ?? this.#last + 1;
    if (Number.isInteger(seen) && seen <= this.#last && seen >= oldest - 1) {
      for (const item of this.#ring) if (item.id > seen) response.write(frame(item));
    } else {
      for (const event of snapshot()) response.write(frame({ id: this.#last, event }));
    }
    this.#clients.add(response);
    response.on('close', () => this.#clients.delete(response));
  }

  close(): void {
    clearInterval(this.#heartbeat);
    for (const client of this.#clients) client.end();
    this.#clients.clear();
  }
}

function frame(item: { id: number; event: LabEvent }): string {
  return `id: ${item.id}\nevent: ${item.event.type}\ndata: ${JSON.stringify(item.event)}\n\n`;
}
