import { Publisher, Subscriber } from 'zeromq';
import type { Logger } from '../../observability/index.ts';
import type { EventChannel } from '../discovery/discovery.ts';
import type { EventPlane, EventPlaneState, EventSubscription, EventSubscriptionOptions } from './eventPlane.ts';

export interface ZmqEventPlaneOptions {
  /** Address to bind and announce. */
  host: string;
  /** Whether this process publishes; subscribers bind nothing. */
  publisher: boolean;
  logger: Logger;
}

/** Messages that wait for the socket before they count as dropped. */
const queueLimit = 4_096;

/**
 * The event plane without a broker: each publisher binds a PUB socket and announces it in discovery; subscribers connect
 * to each. Frames as vLLM's: topic, sequence u64 BE, payload.
 */
export class ZmqEventPlane implements EventPlane {
  readonly kind = 'zmq';
  readonly #options: ZmqEventPlaneOptions;
  readonly #socket: Publisher | undefined;
  readonly #subscriptions = new Set<ZmqSubscription>();
  readonly #queue: [string, Buffer, Uint8Array][] = [];
  readonly #state: EventPlaneState;
  #sequence = 0n;
  #sending: Promise<void> | undefined;

  static async open(options: ZmqEventPlaneOptions): Promise<ZmqEventPlane> {
    const socket = options.publisher ? new Publisher({ linger: 500, sendHighWaterMark: queueLimit }) : undefined;
    if (socket !== undefined) {
      await socket.bind(`tcp://${options.host}:*`);
      options.logger.info(`event plane: ZMQ publisher bound to ${socket.lastEndpoint ?? ''}`);
    }
    return new ZmqEventPlane(options, socket);
  }

  private constructor(options: ZmqEventPlaneOptions, socket: Publisher | undefined) {
    this.#options = options;
    this.#socket = socket;
    this.#state = { kind: 'zmq', connected: true, address: socket?.lastEndpoint ?? '', published: 0, dropped: 0, received: 0, reconnects: 0 };
  }

  get state(): EventPlaneState {
    return { ...this.#state };
  }

  channel(): EventChannel {
    return { kind: 'Zmq', endpoint: this.#state.address };
  }

  publish(topic: string, payload: Uint8Array): void {
    if (this.#socket === undefined || this.#socket.closed || this.#queue.length >= queueLimit) {
      this.#state.dropped += 1;
      return;
    }
    const sequence = Buffer.alloc(8);
    sequence.writeBigUInt64BE(this.#sequence++);
    this.#queue.push([topic, sequence, payload]);
    this.#sending ??= this.#send(this.#socket);
  }

  subscribe(options: EventSubscriptionOptions): EventSubscription {
    const subscription = new ZmqSubscription(options, this.#options.logger, {
      received: () => void (this.#state.received += 1),
      reconnected: () => void (this.#state.reconnects += 1),
      closed: () => void this.#subscriptions.delete(subscription),
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
    await this.#sending;
    this.#state.connected = false;
    this.#socket?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The socket takes one message at a time. */
  async #send(socket: Publisher): Promise<void> {
    for (let message = this.#queue.shift(); message !== undefined; message = this.#queue.shift()) {
      try {
        await socket.send(message);
        this.#state.published += 1;
      } catch {
        this.#state.dropped += 1;
      }
    }
    this.#sending = undefined;
  }
}

class ZmqSubscription implements EventSubscription {
  readonly #socket = new Subscriber({ linger: 0, reconnectInterval: 100, reconnectMaxInterval: 2_000 });
  readonly #users = new Map<string, number>();
  readonly #lost = new Set<string>();
  readonly #reading: Promise<void>;
  readonly #on: { received: () => void; reconnected: () => void; closed: () => void };

  constructor(options: EventSubscriptionOptions, logger: Logger, on: { received: () => void; reconnected: () => void; closed: () => void }) {
    this.#on = on;
    this.#socket.subscribe(options.topic);
    this.#socket.events.on('disconnect', ({ address }) => {
      this.#lost.add(address);
      logger.warn(`event plane: ZMQ publisher ${address} is gone; reconnecting`);
    });
    this.#socket.events.on('connect', ({ address }) => {
      logger.info(`event plane: ZMQ connected to ${address}`, { topic: options.topic });
      if (!this.#lost.delete(address)) return;
      on.reconnected();
      options.onInterruption?.();
    });
    this.#reading = this.#read(options);
  }

  add(channel: EventChannel): boolean {
    if (channel.kind !== 'Zmq') return false;
    const users = this.#users.get(channel.endpoint) ?? 0;
    if (users === 0) this.#socket.connect(channel.endpoint);
    this.#users.set(channel.endpoint, users + 1);
    return true;
  }

  remove(channel: EventChannel): void {
    if (channel.kind !== 'Zmq') return;
    const users = this.#users.get(channel.endpoint);
    if (users === undefined) return;
    if (users > 1) this.#users.set(channel.endpoint, users - 1);
    else {
      this.#users.delete(channel.endpoint);
      if (!this.#socket.closed) this.#socket.disconnect(channel.endpoint);
    }
  }

  async close(): Promise<void> {
    this.#on.closed();
    if (!this.#socket.closed) this.#socket.close();
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #read(options: EventSubscriptionOptions): Promise<void> {
    try {
      for await (const [topic, , payload] of this.#socket) {
        // A ZMQ subscription matches by prefix.
        if (topic?.toString() !== options.topic || payload === undefined) continue;
        this.#on.received();
        options.onMessage(payload);
      }
    } catch (error) {
      if (!this.#socket.closed) throw error;
    }
  }
}
