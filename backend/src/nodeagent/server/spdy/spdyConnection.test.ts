import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from 'vitest';
import { SpdyConnection } from './spdyConnection.ts';
import { spdyDictionary } from './spdyDictionary.ts';
import type { SpdyStream } from './spdyStream.ts';

async function pair(): Promise<{ server: SpdyConnection; client: SpdyConnection; close: () => void }> {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[net.Socket]>;
  const outgoing = net.connect((listener.address() as net.AddressInfo).port, '127.0.0.1');
  const [incoming] = await accepted;
  return {
    server: new SpdyConnection(incoming, 'server'),
    client: new SpdyConnection(outgoing, 'client'),
    close: () => {
      outgoing.destroy();
      incoming.destroy();
      listener.close();
    },
  };
}

/** All bytes up to the peer's FIN; the writing side stays open. */
async function buffer(stream: SpdyStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks);
}

test('the header dictionary is the one of SPDY/3', () => {
  expect(spdyDictionary.length).toBe(1423);
  expect(createHash('sha256').update(spdyDictionary).digest('hex')).toBe('51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02');
});

test('streams carry headers, data both ways and half-close', async () => {
  const { server, client, close } = await pair();
  const accepted = once(server, 'stream') as Promise<[SpdyStream]>;
  const stream = await client.open({ streamtype: 'data', port: '8080', requestid: '0' });
  const [peer] = await accepted;
  expect(peer.headers).toEqual({ streamtype: 'data', port: '8080', requestid: '0' });
  stream.end('question');
  expect((await buffer(peer)).toString()).toBe('question');
  peer.end('answer');
  expect((await buffer(stream)).toString()).toBe('answer');
  close();
});

test('header blocks of many streams share one compression context', async () => {
  const { server, client, close } = await pair();
  const seen: string[] = [];
  const all = new Promise<void>((resolve) =>
    server.on('stream', (stream) => {
      seen.push(`${stream.headers['streamtype']}:${stream.headers['requestid']}`);
      if (seen.length === 40) resolve();
    }),
  );
  for (let index = 0; index < 20; index += 1) for (const streamtype of ['error', 'data']) void client.open({ streamtype, requestid: String(index) });
  await all;
  expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => [`error:${index}`, `data:${index}`]).flat());
  close();
});

test('20 MB go through both ways at once, byte for byte, with a slow reader beside', async () => {
  const { server, client, close } = await pair();
  server.on('stream', (stream) => stream.pipe(stream));
  const idle = await client.open({ streamtype: 'data', requestid: 'idle' });
  idle.write('nobody reads this answer');
  const stream = await client.open({ streamtype: 'data', requestid: '0' });
  const sent = Buffer.alloc(20 * 1024 * 1024);
  for (let index = 0; index < sent.length; index += 4096) sent.writeUInt32BE(index, index);
  stream.end(sent);
  const received = await buffer(stream);
  expect(received.equals(sent)).toBe(true);
  close();
});

test('a stream that is destroyed is reset at the peer; the connection goes on', async () => {
  const { server, client, close } = await pair();
  const accepted = once(server, 'stream') as Promise<[SpdyStream]>;
  const first = await client.open({ requestid: '0' });
  const [peer] = await accepted;
  const gone = once(peer, 'close');
  first.destroy();
  await gone;
  server.on('stream', (stream) => stream.end('alive'));
  expect((await buffer(await client.open({ requestid: '1' }))).toString()).toBe('alive');
  close();
});

test('when the socket closes, every stream closes', async () => {
  const { server, client, close } = await pair();
  const accepted = once(server, 'stream') as Promise<[SpdyStream]>;
  await client.open({ requestid: '0' });
  const [peer] = await accepted;
  const gone = Promise.all([once(peer, 'close'), once(server, 'close')]);
  close();
  await gone;
});

test('bytes that are not SPDY end the connection', async () => {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[net.Socket]>;
  const outgoing = net.connect((listener.address() as net.AddressInfo).port, '127.0.0.1');
  const server = new SpdyConnection((await accepted)[0], 'server');
  const closed = once(server, 'close');
  outgoing.write(Buffer.concat([Buffer.from([0x80, 3, 0, 1, 0, 0, 0, 12]), Buffer.alloc(12, 0xff)]));
  await closed;
  outgoing.destroy();
  listener.close();
});
