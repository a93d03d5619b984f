import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventPlane, EventSubscription } from './eventPlane.ts';

export interface EventPlaneRoom {
  publisher(): Promise<EventPlane>;
  subscriber(): Promise<EventPlane>;
  close(): Promise<void>;
}

/** What every event plane must do. */
export function eventPlaneContract(name: string, create: () => Promise<EventPlaneRoom>): void {
  describe(`event plane contract: ${name}`, () => {
    let room: EventPlaneRoom;
    const text = (message: string): Uint8Array => new TextEncoder().encode(message);
    const opened: EventPlane[] = [];
    const open = async (plane: Promise<EventPlane>): Promise<EventPlane> => {
      const ready = await plane;
      opened.push(ready);
      return ready;
    };

    beforeEach(async () => {
      room = await create();
    });
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((plane) => plane.close()));
      await room.close();
    });

    /** Subscribes and publishes marks until the first arrives: from then on nothing may be missed. */
    async function listen(publisher: EventPlane, subscriber: EventPlane, topic: string): Promise<{ seen: string[]; subscription: EventSubscription }> {
      const seen: string[] = [];
      const first = Promise.withResolvers<void>();
      const subscription = subscriber.subscribe({
        topic,
        onMessage: (payload) => {
          const message = new TextDecoder().decode(payload);
          if (message === 'mark') first.resolve();
          else seen.push(message);
        },
      });
      expect(subscription.add(publisher.channel(topic))).toBe(true);
      const marks = setInterval(() => publisher.publish(topic, text('mark')), 20);
      await first.promise;
      clearInterval(marks);
      return { seen, subscription };
    }

    async function until(condition: () => boolean): Promise<void> {
      const end = Date.now() + 10_000;
      while (!condition()) {
        if (Date.now() > end) throw new Error('did not happen within 10 s');
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }

    it('delivers in order to every subscriber', async () => {
      const publisher = await open(room.publisher());
      const [a, b] = [await open(room.subscriber()), await open(room.subscriber())];
      const [left, right] = [await listen(publisher, a, 'kv-events'), await listen(publisher, b, 'kv-events')];
      const sent = Array.from({ length: 1_000 }, (_, i) => `event ${i}`);
      for (const message of sent) publisher.publish('kv-events', text(message));
      await until(() => left.seen.length === sent.length && right.seen.length === sent.length);
      expect(left.seen).toEqual(sent);
      expect(right.seen).toEqual(sent);
      expect(publisher.state).toMatchObject({ connected: true, dropped: 0 });
      expect(publisher.state.published).toBeGreaterThanOrEqual(1_000);
      expect(a.state.received).toBeGreaterThanOrEqual(1_000);
    });

    it('keeps topics apart, also when one name starts with the other', async () => {
      const [publisher, subscriber] = [await open(room.publisher()), await open(room.subscriber())];
      const { seen } = await listen(publisher, subscriber, 'kv');
      const other = await listen(publisher, subscriber, 'kv-events');
      publisher.publish('kv-events', text('long'));
      publisher.publish('kv', text('short'));
      await until(() => seen.length > 0 && other.seen.length > 0);
      expect([seen, other.seen]).toEqual([['short'], ['long']]);
    });

    it('a closed or removed subscription hears nothing more', async () => {
      const [publisher, subscriber] = [await open(room.publisher()), await open(room.subscriber())];
      const removed = await listen(publisher, subscriber, 'kv-events');
      const closed = await listen(publisher, subscriber, 'kv-events');
      const witness = await listen(publisher, subscriber, 'kv-events');
      removed.subscription.remove(publisher.channel('kv-events'));
      await closed.subscription.close();
      await closed.subscription.close();
      // What the witness has heard, the others would have heard.
      for (let i = 0; i < 3; i++) {
        publisher.publish('kv-events', text(`late ${i}`));
        await until(() => witness.seen.length > i);
      }
      expect([removed.seen, closed.seen]).toEqual([[], []]);
    });

    it('publishing without a subscriber and after closing does no harm', async () => {
      const publisher = await open(room.publisher());
      publisher.publish('kv-events', text('nobody'));
      await publisher.close();
      publisher.publish('kv-events', text('closed'));
      await publisher.close();
      expect(publisher.state.connected).toBe(false);
    });

    it('refuses a channel of another plane', async () => {
      const subscriber = await open(room.subscriber());
      const subscription = subscriber.subscribe({ topic: 'kv-events', onMessage: () => {} });
      const foreign = subscriber.kind === 'zmq' ? ({ kind: 'Nats', subjectPrefix: 'x' } as const) : ({ kind: 'Zmq', endpoint: 'tcp://127.0.0.1:1' } as const);
      expect(subscription.add(foreign)).toBe(false);
      subscription.remove(foreign);
    });
  });
}
