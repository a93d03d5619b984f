import { connect, type NatsConnection, type Subscription } from 'nats';
import type { Logger } from '../../observability/index.ts';
import type { EventChannel } from '../discovery/discovery.ts';
import type { EventPlane, EventPlaneState, EventSubscription, EventSubscriptionOptions } from './eventPlane.ts';

export interface NatsEventPlaneOptions {
  /** `nats://host:4222`, several separated by commas. */
  server: string;
  /** What the server shows in /connz. */
  name: string;
  /** Subjects are `<subjectPrefix>.<topic>`. */
  subjectPrefix: string;
  logger: Logger;
  user?: string;
  password?: string;
}

/** Published before the first connection: so much is kept, the rest counts as dropped. */
const earlyLimit = 256;

/** The event plane on core NATS subjects. Connects in the background, for ever. */
export class NatsEventPlane implements EventPlane {
  readonly kind = 'nats';
  readonly #options: NatsEventPlaneOptions;
  readonly #abort = new AbortController();
  readonly #connected: Promise<NatsConnection | undefined>;
  readonly #subscriptions = new Set<NatsSubscription>();
  readonly #early: { topic: string; payload: Uint8Array }[] = [];
  readonly #state: EventPlaneState;
  #connection: NatsConnection | undefined;

  constructor(options: NatsEventPlaneOptions) {
    this.#options = options;
    this.#state = {
      kind: 'nats',
      connected: false,
      address: options.server,
      published: 0,
      dropped: 0,
      received: 0,
      reconnects: 0,
      problem: 'not connected yet',
    };
    this.#connected = this.#connect();
  }

  get state(): EventPlaneState {
    return { ...this.#state };
  }

  channel(): EventChannel {
    return { kind: 'Nats', subjectPrefix: this.#options.subjectPrefix };
  }

  publish(topic: string, payload: Uint8Array): void {
    if (this.#connection === undefined) {
      if (this.#early.length < earlyLimit) this.#early.push({ topic, payload });
      else this.#state.dropped += 1;
      return;
    }
    try {
      this.#connection.publish(`${this.#options.subjectPrefix}.${topic}`, payload);
      this.#state.published += 1;
    } catch {
      this.#state.dropped += 1;
    }
  }

  subscribe(options: EventSubscriptionOptions): EventSubscription {
    const subscription = new NatsSubscription(options, () => void (this.#state.received += 1));
    this.#subscriptions.add(subscription);
    subscription.closed.then(() => this.#subscriptions.delete(subscription)).catch(() => {});
    if (this.#connection !== undefined) subscription.attach(this.#connection);
    return subscription;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const connection = await this.#connected;
    for (const subscription of this.#subscriptions) await subscription.close();
    if (connection !== undefined && !connection.isClosed()) {
      const deadline = setTimeout(() => void connection.close(), 2_000);
      await connection.drain().catch(() => connection.close());
      clearTimeout(deadline);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #connect(): Promise<NatsConnection | undefined> {
    const { server, name, user, password, logger } = this.#options;
    for (let backOffMs = 100; !this.#abort.signal.aborted; backOffMs = Math.min(backOffMs * 2, 2_000)) {
      try {
        const connection = await connect({
          servers: server.split(',').map((one) => one.trim()),
          name,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 250,
          reconnectJitter: 250,
          timeout: 3_000,
          pingInterval: 5_000,
          maxPingOut: 2,
          ...(user === undefined ? {} : { user, pass: password ?? '' }),
        });
        if (this.#abort.signal.aborted) {
          await connection.close();
          return undefined;
        }
        this.#connection = connection;
        this.#up();
        logger.info(`event plane: NATS connected to ${connection.getServer()}`, { client: name });
        void this.#follow(connection);
        for (const subscription of this.#subscriptions) subscription.attach(connection);
        for (const { topic, payload } of this.#early.splice(0)) this.publish(topic, payload);
        return connection;
      } catch (error) {
        this.#down((error as Error).message, `trying again in ${backOffMs} ms`);
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, backOffMs);
          this.#abort.signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
        });
      }
    }
    return undefined;
  }

  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') this.#down('the connection ended', 'reconnecting');
      else if (status.type === 'reconnect') {
        this.#state.reconnects += 1;
        this.#up();
        this.#options.logger.info(`event plane: NATS reconnected to ${connection.getServer()}`);
        for (const subscription of this.#subscriptions) subscription.interrupted();
      }
    }
    this.#state.connected = false;
  }

  #up(): void {
    this.#state.connected = true;
    delete this.#state.problem;
  }

  #down(problem: string, next: string): void {
    const changed = this.#state.problem !== problem;
    this.#state.connected = false;
    this.#state.problem = problem;
    if (changed) this.#options.logger.warn(`event plane: NATS ${this.#options.server}: ${problem}; ${next}. Serving goes on; KV events are not delivered.`);
  }
}

class NatsSubscription implements EventSubscription {
  readonly #options: EventSubscriptionOptions;
  readonly #onReceived: () => void;
  readonly #subjects = new Map<string, { users: number; subscription?: Subscription }>();
  readonly #closed = Promise.withResolvers<void>();
  #connection: NatsConnection | undefined;

  constructor(options: EventSubscriptionOptions, onReceived: () => void) {
    this.#options = options;
    this.#onReceived = onReceived;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  attach(connection: NatsConnection): void {
    this.#connection = connection;
    for (const subject of this.#subjects.keys()) this.#listen(subject);
  }

  interrupted(): void {
    this.#options.onInterruption?.();
  }

  add(channel: EventChannel): boolean {
    if (channel.kind !== 'Nats') return false;
    const subject = `${channel.subjectPrefix}.${this.#options.topic}`;
    const entry = this.#subjects.get(subject);
    if (entry !== undefined) entry.users += 1;
    else {
      this.#subjects.set(subject, { users: 1 });
      this.#listen(subject);
    }
    return true;
  }

  remove(channel: EventChannel): void {
    if (channel.kind !== 'Nats') return;
    const subject = `${channel.subjectPrefix}.${this.#options.topic}`;
    const entry = this.#subjects.get(subject);
    if (entry === undefined || --entry.users > 0) return;
    entry.subscription?.unsubscribe();
    this.#subjects.delete(subject);
  }

  async close(): Promise<void> {
    for (const { subscription } of this.#subjects.values()) subscription?.unsubscribe();
    this.#subjects.clear();
    this.#closed.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #listen(subject: string): void {
    const entry = this.#subjects.get(subject);
    if (entry === undefined || entry.subscription !== undefined || this.#connection === undefined || this.#connection.isClosed()) return;
    entry.subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return;
        this.#onReceived();
        this.#options.onMessage(message.data);
      },
    });
  }
}
