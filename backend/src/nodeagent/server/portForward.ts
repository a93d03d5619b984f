import type { IncomingMessage } from 'node:http';
import { PassThrough, type Duplex } from 'node:stream';
import type { PodSandbox } from '../podnet/podNet.ts';
import { HttpError } from './httpError.ts';
import type { SpdyStream } from './spdy/spdyStream.ts';
import { upgradeToSpdy } from './spdyRemote.ts';
import { channelWriter, upgradeToWebSocket } from './webSocketRemote.ts';

const dialTimeoutMs = 10_000;

/** The text the kubelet sends when nothing listens. */
function dialFailure(port: number, error: unknown): string {
  const refused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  return `failed to connect to localhost:${port} inside the pod: ${refused ? `connect tcp4 127.0.0.1:${port}: connection refused` : (error as Error).message}`;
}

/** port-forward over SPDY: each connection is an error and a data stream with the same `requestid`. */
export function serveSpdyPortForward(request: IncomingMessage, socket: Duplex, head: Buffer, sandbox: PodSandbox): void {
  const { connection } = upgradeToSpdy(request, socket, head, ['portforward.k8s.io']);
  const waiting = new Map<string, { error?: SpdyStream; data?: SpdyStream }>();
  connection.on('stream', (stream) => {
    const { streamtype, port, requestid = String(stream.id) } = stream.headers;
    const pair = waiting.get(requestid) ?? {};
    if (streamtype === 'error') pair.error = stream;
    else pair.data = stream;
    waiting.set(requestid, pair);
    const { error, data } = pair;
    if (error === undefined || data === undefined) return;
    waiting.delete(requestid);
    // The client never writes to the error stream.
    error.resume();
    void forward(sandbox, Number(port), data, (message) => error.end(message));
  });
}

/** Connects one client stream with a port of the pod. `report` ends the error stream, with a message where it failed. */
async function forward(sandbox: PodSandbox, port: number, data: Duplex, report: (message?: string) => void): Promise<void> {
  let upstream: Duplex;
  try {
    upstream = await sandbox.dialLocal(port, AbortSignal.timeout(dialTimeoutMs));
  } catch (error) {
    report(dialFailure(port, error));
    data.resume().end();
    return;
  }
  upstream.on('error', () => data.destroy());
  upstream.on('end', () => report());
  upstream.on('close', () => (upstream.readableEnded ? undefined : data.destroy()));
  data.on('close', () => (data.readableEnded && upstream.readableEnded ? undefined : upstream.destroy()));
  data.pipe(upstream);
  upstream.pipe(data);
}

/** port-forward over WebSocket `v4.channel.k8s.io`: for the i-th port channel 2i carries data and 2i+1 errors, each beginning with the port. */
export async function serveWebSocketPortForward(request: IncomingMessage, socket: Duplex, head: Buffer, sandbox: PodSandbox): Promise<void> {
  const query = new URL(request.url ?? '/', 'https://node').searchParams;
  const ports = [...query.getAll('port'), ...query.getAll('ports')].flatMap((text) => text.split(',')).map(Number);
  if (ports.length === 0 || ports.some((port) => !(port > 0 && port < 65536))) throw new HttpError(400, 'query parameter "port" is required');
  const client = await upgradeToWebSocket(request, socket, head);
  client.on('error', () => client.terminate());
  const inputs = ports.map((port, index) => {
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16LE(port);
    for (const number of [2 * index, 2 * index + 1]) client.send(Buffer.concat([Buffer.from([number]), prefix]));
    const input = new PassThrough();
    const output = channelWriter(client, 2 * index);
    const errors = channelWriter(client, 2 * index + 1);
    void sandbox.dialLocal(port, AbortSignal.timeout(dialTimeoutMs)).then(
      (upstream) => {
        upstream.on('error', () => client.close());
        input.pipe(upstream);
        upstream.pipe(output, { end: false });
        upstream.once('close', () => client.close(1000));
        client.once('close', () => upstream.destroy());
      },
      (error: unknown) => errors.write(Buffer.from(dialFailure(port, error)), () => client.close(1000)),
    );
    return input;
  });
  client.on('message', (data: Buffer) => {
    const input = inputs[(data[0] ?? 0) / 2];
    if (input === undefined || input.write(data.subarray(1))) return;
    client.pause();
    input.once('drain', () => client.resume());
  });
}
