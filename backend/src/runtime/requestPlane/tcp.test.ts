import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../observability/index.ts';
import { encodeFrame, FrameDecoder, frameTypes } from './frame.ts';
import { logLostCaller } from './logLostCaller.ts';
import { requestPlaneContract } from './requestPlane.contract.ts';
import { ConnectionLostError, DeadlineExceededError, ProtocolError } from './requestPlaneError.ts';
import { TcpRequestClient } from './tcpClient.ts';
import { tcpOptionsFromEnv, type TcpOptions } from './tcpOptions.ts';
import { TcpRequestServer } from './tcpServer.ts';
import type { LostCaller } from './tcpServerConnection.ts';

const options: TcpOptions = { ...tcpOptionsFromEnv({}), maxMessageBytes: 64 * 1024, requestTimeoutMs: 300, poolSize: 2 };

async function deadAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

requestPlaneContract('tcp', async () => {
  const server = await TcpRequestServer.listen(options);
  const client = new TcpRequestClient(options);
  return {
    server,
    client,
    kill: () => server.close(),
    deadAddress: await deadAddress(),
    maxMessageBytes: options.maxMessageBytes,
    acceptMs: options.requestTimeoutMs,
  };
});

/** A peer that answers a connection with whatever it likes. */
async function peer(answer: (write: (bytes: Buffer) => void) => void): Promise<{ address: string; close(): void }> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    answer((bytes) => socket.write(bytes));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

async function failure(address: string, overrides: Partial<TcpOptions> = {}): Promise<unknown> {
  const client = new TcpRequestClient({ ...options, ...overrides });
  try {
    for await (const item of client.call({ address, endpoint: 'generate', payload: null, requestId: 'r' })) void item;
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await client.close();
  }
}

describe('tcp request plane', () => {
  it('names a peer that speaks something else', async () => {
    const http = await peer((write) => write(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')));
    const error = await failure(http.address);
    http.close();
    expect(error).toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    const garbage = await peer((write) => write(Buffer.from([0, 0, 0, 9, 77, 0, 0, 0, 1, 1, 2, 3, 4])));
    expect(await failure(garbage.address)).toBeInstanceOf(ProtocolError);
    garbage.close();
  });

  it('a worker that accepts connections and never answers runs into the acceptance limit', async () => {
    const silent = await peer(() => {});
    expect(await failure(silent.address)).toBeInstanceOf(DeadlineExceededError);
    silent.close();
  });

  it('a connection that falls silent while a request runs is lost', async () => {
    const silent = await peer(() => {});
    expect(await failure(silent.address, { requestTimeoutMs: 60_000, heartbeatMs: 20 })).toBeInstanceOf(ConnectionLostError);
    silent.close();
  });

  it('a server drops a client that sends garbage or a huge length, and serves the others', async () => {
    const server = await TcpRequestServer.listen(options);
    server.serve('ok', async function* () {
      yield 1;
    });
    const [host, port] = server.address.split(':') as [string, string];
    const garbage = [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([255, 255, 255, 255, 1]), Buffer.from([0, 0, 0, 1, 1])];
    const requests = ['null', '{}', '[', '{"endpoint":"ok","request_id":"r","credit":"many"}'].map((text) =>
      encodeFrame(frameTypes.request, 1, Buffer.from(text)),
    );
    const misplaced = [encodeFrame(frameTypes.data, 1), encodeFrame(frameTypes.pong, 0), encodeFrame(frameTypes.request, 1)];
    for (const bytes of [...garbage, ...requests, ...misplaced]) {
      const socket = connect(Number(port), host);
      socket.on('error', () => {});
      socket.write(bytes);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    const client = new TcpRequestClient(options);
    const items: unknown[] = [];
    for await (const item of client.call({ address: server.address, endpoint: 'ok', payload: null, requestId: 'r' })) items.push(item);
    expect(items).toEqual([1]);
    await client.close();
    await server.close();
  });

  it('opens another connection only when all are busy, up to the pool size', async () => {
    const server = await TcpRequestServer.listen(options);
    const client = new TcpRequestClient(options);
    const go = Promise.withResolvers<void>();
    server.serve('wait', async function* () {
      await go.promise;
      yield 1;
    });
    const drain = async () => {
      for await (const item of client.call({ address: server.address, endpoint: 'wait', payload: null, requestId: 'r' })) void item;
    };
    const first = Array.from({ length: 32 }, drain);
    await new Promise(setImmediate);
    expect(client.connections(server.address)).toBe(1);
    const more = Array.from({ length: 64 }, drain);
    await new Promise(setImmediate);
    expect(client.connections(server.address)).toBe(2);
    go.resolve();
    await Promise.all([...first, ...more]);
    await client.close();
    await server.close();
  });

  describe('a caller that leaves', () => {
    /** A server that says `1` and then waits until the caller is gone, and a caller that has read it. */
    const leaving = async (leave: (socket: Socket) => void): Promise<{ lost: LostCaller; log: string }> => {
      const seen = Promise.withResolvers<LostCaller>();
      const lines: string[] = [];
      const log = logLostCaller(createLogger({ target: 'test', write: (line) => lines.push(line) }));
      const server = await TcpRequestServer.listen(options, (lost) => {
        log(lost);
        seen.resolve(lost);
      });
      const ended = Promise.withResolvers<void>();
      server.serve('wait', async function* (_payload, { signal }) {
        yield 1;
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        ended.resolve();
      });
      const socket = connect(Number(server.address.split(':')[1]), '127.0.0.1');
      socket.write(encodeFrame(frameTypes.request, 1, Buffer.from(JSON.stringify({ endpoint: 'wait', request_id: 'left', credit: 9 }))));
      const decoder = new FrameDecoder(options.maxMessageBytes);
      await new Promise<void>((resolve) => {
        socket.on('data', (chunk: Buffer) => {
          if (decoder.push(chunk).some(({ type }) => type === frameTypes.data)) resolve();
        });
      });
      leave(socket);
      const lost = await seen.promise;
      await ended.promise;
      await server.close();
      return { lost, log: lines.join('') };
    };

    it('in good order: the next writes meet a broken pipe, and its work ends', async () => {
      const { lost, log } = await leaving((socket) => socket.destroy());
      expect(lost).toMatchObject({ code: 'EPIPE', requestIds: ['left'] });
      expect(log).toMatch(
        /ERROR dynamo_runtime::pipeline::network::tcp::client: failed to join writer task: I\/O error: Broken pipe \(os error 32\) plane="request/,
      );
    });

    it('by a reset: the connection is reset, and its work ends', async () => {
      const { lost, log } = await leaving((socket) => socket.resetAndDestroy());
      expect(lost).toMatchObject({ code: 'ECONNRESET', requestIds: ['left'] });
      expect(log).toContain(`reader task failed to join (peer_port: Some(${lost.peerPort}), subject: left)`);
      expect(log).toContain('invalid line protocol: Io(Os { code: 104, kind: ConnectionReset, message: "Connection reset by peer" })');
    });

    it('only half: who sends no more and still reads gets the whole answer', async () => {
      const lost: LostCaller[] = [];
      const server = await TcpRequestServer.listen(options, (one) => lost.push(one));
      const go = Promise.withResolvers<void>();
      server.serve('wait', async function* () {
        yield 1;
        await go.promise;
        yield 2;
      });
      const socket = connect({ port: Number(server.address.split(':')[1]), host: '127.0.0.1', allowHalfOpen: true });
      const decoder = new FrameDecoder(options.maxMessageBytes);
      const types: number[] = [];
      socket.on('data', (chunk: Buffer) => types.push(...decoder.push(chunk).map(({ type }) => type)));
      const closed = new Promise((resolve) => socket.once('end', resolve));
      socket.end(encodeFrame(frameTypes.request, 1, Buffer.from(JSON.stringify({ endpoint: 'wait', request_id: 'half', credit: 9 }))));
      // Several probes later it is still being served.
      while (types.filter((type) => type === frameTypes.pong).length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
      go.resolve();
      await closed;
      expect(types.filter((type) => type !== frameTypes.pong)).toEqual([frameTypes.accepted, frameTypes.data, frameTypes.data, frameTypes.end]);
      expect(lost).toEqual([]);
      await server.close();
    });
  });

  it('refuses settings that are not numbers by name', () => {
    expect(() => tcpOptionsFromEnv({ DYN_TCP_POOL_SIZE: 'many' })).toThrow('DYN_TCP_POOL_SIZE must be a non-negative integer, got "many"');
  });
});
