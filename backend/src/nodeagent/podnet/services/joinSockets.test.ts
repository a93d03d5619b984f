import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { joinSockets, resetSocket } from './joinSockets.ts';

const closers: (() => void)[] = [];
afterEach(() => closers.splice(0).forEach((close) => close()));

/** Both ends of a connection. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = (await once(server, 'connection')) as [Socket];
  for (const socket of [near, far]) socket.on('error', () => {});
  closers.push(
    () => [near, far].forEach((socket) => socket.destroy()),
    () => server.close(),
  );
  return [near, far];
}

async function proxied(): Promise<{ client: Socket; server: Socket; front: Socket; back: Socket }> {
  const [client, front] = await pair();
  const [back, server] = await pair();
  joinSockets(front, back);
  return { client, server, front, back };
}

describe('two joined sockets', () => {
  test('a side that has ended still receives', async () => {
    const { client, server } = await proxied();
    client.end('question');
    let got = '';
    server.on('data', (chunk) => (got += String(chunk)));
    await once(server, 'end');
    expect(got).toBe('question');
    server.end('answer');
    const [answer] = await once(client, 'data');
    expect(String(answer)).toBe('answer');
  });

  test('a reset on one side is a reset on the other', async () => {
    const { client, server } = await proxied();
    const failed = once(client, 'error');
    client.write('x');
    await once(server, 'data');
    server.resetAndDestroy();
    expect(((await failed)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });

  test('a reader that stops stops the writer', async () => {
    const { client, server, front, back } = await proxied();
    server.pause();
    const block = Buffer.alloc(1_000_000);
    let sent = 0;
    while (sent < 200 && client.write(block)) sent++;
    const until = Date.now() + 5_000;
    while (Date.now() < until && client.writableLength < block.length) {
      client.write(block);
      await sleep(5);
    }
    expect(client.writableLength).toBeGreaterThanOrEqual(block.length);
    expect(front.readableLength + back.writableLength).toBeLessThan(block.length);
  });

  test('joining to a socket that has gone resets the other', async () => {
    const [client, front] = await pair();
    const [back] = await pair();
    const failed = once(client, 'error');
    client.resume();
    back.destroy();
    joinSockets(front, back);
    expect(((await failed)[0] as NodeJS.ErrnoException).code).toBe('ECONNRESET');
    resetSocket(front);
  });
});
