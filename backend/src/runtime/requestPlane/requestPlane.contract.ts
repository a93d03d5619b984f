import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CallerSatisfiedError, HandlerError, type RequestContext, type RequestPlaneClient, type RequestPlaneServer } from './requestPlane.ts';
import { ConnectFailedError, ConnectionLostError, DeadlineExceededError, MessageTooLargeError, RemoteError, RequestRefusedError } from './requestPlaneError.ts';

export interface RequestPlanePair {
  server: RequestPlaneServer;
  client: RequestPlaneClient;
  /** Ends the server as a dying process would: no farewell. */
  kill(): Promise<void>;
  /** An address where nobody listens. */
  deadAddress: string;
  /** Bytes; the pair is made with a limit below 1 MiB. */
  maxMessageBytes: number;
  /** The time the client waits for acceptance; below one second. */
  acceptMs: number;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** What every request plane must do. */
export function requestPlaneContract(name: string, create: () => Promise<RequestPlanePair>): void {
  describe(`request plane contract: ${name}`, () => {
    let pair: RequestPlanePair;
    let requests = 0;
    const call = (endpoint: string, payload: unknown, extra: { signal?: AbortSignal; deadlineMs?: number; address?: string } = {}) =>
      pair.client.call({ address: pair.server.address, endpoint, payload, requestId: `r${++requests}`, ...extra });

    beforeEach(async () => {
      pair = await create();
    });
    afterEach(async () => {
      await pair.client.close();
      await pair.server.close();
    });

    it('streams the answers of a handler in order', async () => {
      pair.server.serve('count', async function* (payload) {
        for (let i = 0; i < (payload as { to: number }).to; i++) yield { i };
      });
      expect(await collect(call('count', { to: 500 }))).toEqual(Array.from({ length: 500 }, (_, i) => ({ i })));
      expect(await collect(call('count', { to: 0 }))).toEqual([]);
    });

    it('carries many calls at once without mixing them', async () => {
      pair.server.serve('echo', async function* (payload, { requestId }) {
        for (let i = 0; i < 20; i++) {
          yield { payload, requestId };
          await new Promise(setImmediate);
        }
      });
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, n) => collect<{ payload: number }>(call('echo', n) as AsyncIterable<{ payload: number }>)),
      );
      answers.forEach((answer, n) => expect(new Set(answer.map((item) => item.payload))).toEqual(new Set([n])));
    });

    it('a reader that stops holds up only its own stream', async () => {
      let produced = 0;
      pair.server.serve('fast', async function* () {
        for (; produced < 10_000; produced++) yield produced;
      });
      pair.server.serve('other', async function* () {
        yield 'here';
      });
      const slow = call('fast', null);
      await slow.next();
      expect(await collect(call('other', null))).toEqual(['here']);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(produced).toBeLessThan(10_000);
      expect((await collect(slow)).length).toBe(9_999);
    });

    it('tells an unknown endpoint from a failure: refused, with the reason', async () => {
      const error = await collect(call('nothing', null)).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(RequestRefusedError);
      expect(error).toMatchObject({ code: 'REFUSED', reason: 'UNKNOWN_ENDPOINT', plane: pair.server.plane, address: pair.server.address });
      expect((error as Error).message).toContain(`request plane (${pair.server.plane})`);
    });

    it('delivers a handler’s error with its own code after what it yielded', async () => {
      pair.server.serve('bad', async function* () {
        yield 1;
        throw new HandlerError('NO_BLOCKS', 'the pool is full');
      });
      const seen: unknown[] = [];
      const error = await (async () => {
        for await (const item of call('bad', null)) seen.push(item);
      })().catch((e: unknown) => e);
      expect(seen).toEqual([1]);
      expect(error).toBeInstanceOf(RemoteError);
      expect(error).toMatchObject({ remoteCode: 'NO_BLOCKS' });
    });

    it('a handler may refuse', async () => {
      pair.server.serve('busy', async function* () {
        yield* [];
        throw new HandlerError('OVERLOADED', 'come again', { refused: true });
      });
      expect(await collect(call('busy', null)).catch((e: unknown) => e)).toMatchObject({ code: 'REFUSED', reason: 'OVERLOADED' });
    });

    async function endless(how: (iterator: AsyncIterableIterator<unknown>, abort: AbortController) => Promise<unknown>): Promise<RequestContext> {
      const started = Promise.withResolvers<RequestContext>();
      const ended = Promise.withResolvers<void>();
      pair.server.serve('endless', async function* (_, context) {
        started.resolve(context);
        try {
          while (!context.signal.aborted) {
            yield 'tick';
            await new Promise(setImmediate);
          }
        } finally {
          ended.resolve();
        }
      });
      const abort = new AbortController();
      const iterator = call('endless', null, { signal: abort.signal });
      await iterator.next();
      await how(iterator, abort);
      await ended.promise;
      return started.promise;
    }

    it('ends the work when the iteration ends early: the caller is satisfied', async () => {
      const context = await endless(async (iterator) => iterator.return?.());
      expect(context.signal.reason).toBeInstanceOf(CallerSatisfiedError);
      expect(pair.server.inFlight).toBe(0);
    });

    it('cancels the work when the signal is aborted, and fails with its reason', async () => {
      const reason = new Error('the client went away');
      const context = await endless(async (iterator, abort) => {
        abort.abort(reason);
        expect(await collect(iterator).catch((e: unknown) => e)).toBe(reason);
      });
      expect(context.signal.reason).not.toBeInstanceOf(CallerSatisfiedError);
    });

    it('a worker that dies is a lost connection, not a refusal', async () => {
      const context = await endless(async (iterator) => {
        const end = collect(iterator).catch((e: unknown) => e);
        await pair.kill();
        expect(await end).toBeInstanceOf(ConnectionLostError);
      });
      expect(context.signal.aborted).toBe(true);
      expect(await collect(call('endless', null)).catch((e: unknown) => e)).toBeInstanceOf(ConnectFailedError);
    });

    it('nobody there is a failed connection', async () => {
      expect(await collect(call('count', null, { address: pair.deadAddress })).catch((e: unknown) => e)).toBeInstanceOf(ConnectFailedError);
    });

    it('the deadline ends both sides', async () => {
      const ended = Promise.withResolvers<void>();
      pair.server.serve('stuck', async function* (_, { signal }) {
        yield 1;
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
        ended.resolve();
      });
      const error = await collect(call('stuck', null, { deadlineMs: 60 })).catch((e: unknown) => e);
      // Whichever side's clock was first, the caller sees that time ran out.
      if (error instanceof RemoteError) expect(error.remoteCode).toBe('DEADLINE_EXCEEDED');
      else expect(error).toBeInstanceOf(DeadlineExceededError);
      await ended.promise;
    });

    it('a message over the limit fails with both numbers, in either direction', async () => {
      const big = 'x'.repeat(pair.maxMessageBytes + 1);
      pair.server.serve('big', async function* () {
        yield big;
      });
      const sent = await collect(call('big', big)).catch((e: unknown) => e);
      expect(sent).toBeInstanceOf(MessageTooLargeError);
      expect((sent as Error).message).toContain(String(pair.maxMessageBytes));
      const received = await collect(call('big', null)).catch((e: unknown) => e);
      expect(received).toMatchObject({ remoteCode: 'MESSAGE_TOO_LARGE' });
    });

    it('a storm of calls that end in every way leaves nothing behind', async () => {
      pair.server.serve('storm', async function* (payload, { signal }) {
        const { items, fail } = payload as { items: number; fail: boolean };
        for (let i = 0; i < items; i++) {
          yield i;
          await new Promise(setImmediate);
          signal.throwIfAborted();
        }
        if (fail) throw new HandlerError('STORM', 'as asked');
      });
      let state = 42;
      const random = (below: number): number => {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
        return state % below;
      };
      const one = async (items: number, fail: boolean, leaveAt: number, abortAt: number): Promise<void> => {
        const abort = new AbortController();
        let seen = 0;
        try {
          for await (const item of call('storm', { items, fail }, { signal: abort.signal })) {
            expect(item).toBe(seen++);
            if (seen === abortAt) abort.abort(new Error('enough'));
            if (seen === leaveAt) return;
          }
          expect(fail).toBe(false);
          expect(seen).toBe(items);
        } catch (error) {
          if (abort.signal.aborted) expect(error).toBe(abort.signal.reason);
          else expect(error).toMatchObject({ remoteCode: 'STORM' });
        }
      };
      for (let round = 0; round < 5; round++) {
        await Promise.all(
          Array.from({ length: 80 }, () => one(random(30), random(4) === 0, random(3) === 0 ? 1 + random(20) : -1, random(3) === 0 ? 1 + random(20) : -1)),
        );
      }
      expect(await pair.server.drain(10_000)).toBe(true);
      expect(pair.server.inFlight).toBe(0);
    });

    it('draining finishes what runs and refuses what is new', async () => {
      const go = Promise.withResolvers<void>();
      pair.server.serve('slow', async function* () {
        yield 'started';
        await go.promise;
        yield 'finished';
      });
      const running = call('slow', null);
      expect(await running.next()).toMatchObject({ value: 'started' });
      expect(await pair.server.drain(20)).toBe(false);
      expect(await collect(call('slow', null)).catch((e: unknown) => e)).toMatchObject({ code: 'REFUSED', reason: 'DRAINING' });
      const drained = pair.server.drain(10_000);
      go.resolve();
      expect(await collect(running)).toEqual(['finished']);
      expect(await drained).toBe(true);
    });
  });
}
