import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { HttpError } from './httpError.ts';
import type { ExecStatus, RemoteStreams } from './remoteCommand.ts';
import { SpdyConnection } from './spdy/spdyConnection.ts';
import type { SpdyStream } from './spdy/spdyStream.ts';

/** Time in which the client has to open all its streams (kubelet streamCreationTimeout). */
const streamCreationMs = 30_000;

/** Answers an `Upgrade: SPDY/3.1` request with the protocol both sides know. */
export function upgradeToSpdy(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  known: readonly string[],
): { connection: SpdyConnection; protocol: string } {
  const offered = String(request.headers['x-stream-protocol-version'] ?? '')
    .split(',')
    .map((name) => name.trim());
  const protocol = known.find((name) => offered.includes(name));
  if (protocol === undefined) throw new HttpError(403, `unable to upgrade: none of the protocols ${offered.join(', ')} is served`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`);
  if (head.length > 0) socket.unshift(head);
  return { connection: new SpdyConnection(socket), protocol };
}

export interface WantedStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

export const remoteCommandProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

/** The streams of exec or attach over SPDY: error, then stdin, stdout, stderr, resize as asked for. */
export async function spdyRemote(request: IncomingMessage, socket: Duplex, head: Buffer, wanted: WantedStreams): Promise<RemoteStreams> {
  const { connection } = upgradeToSpdy(request, socket, head, remoteCommandProtocols);
  const names = ['error', ...(['stdin', 'stdout', 'stderr'] as const).filter((name) => wanted[name]), ...(wanted.tty ? ['resize'] : [])];
  const streams = new Map<string, SpdyStream>();
  const gone = new Promise<void>((resolve) => connection.once('close', () => resolve()));
  const complete = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new HttpError(408, 'timed out waiting for client to create streams')), streamCreationMs);
    connection.on('stream', (stream) => {
      streams.set(stream.headers['streamtype'] ?? '', stream);
      if (!names.every((name) => streams.has(name))) return;
      clearTimeout(timer);
      resolve();
    });
    void gone.then(() => {
      clearTimeout(timer);
      reject(new HttpError(400, 'the client closed the connection'));
    });
  });
  try {
    await complete;
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const stdin = streams.get('stdin');
  const stdout = streams.get('stdout');
  const stderr = streams.get('stderr');
  // Our side of stdin stays open: the client takes its end for the end of the command.
  stdout?.resume();
  stderr?.resume();
  return {
    ...(stdin === undefined ? {} : { stdin }),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
    onResize: (listener) => readSizes(streams.get('resize'), listener),
    finish: (status) => finish(connection, streams, status),
    gone,
  };
}

/** Each terminal size is a JSON object; several may come in one chunk. */
function readSizes(stream: SpdyStream | undefined, listener: (columns: number, rows: number) => void): void {
  stream?.on('data', (chunk: Buffer) => {
    for (const text of chunk.toString('utf8').match(/\{[^}]*\}/g) ?? []) {
      const size = JSON.parse(text) as { Width?: number; Height?: number };
      if (size.Width !== undefined && size.Height !== undefined) listener(size.Width, size.Height);
    }
  });
}

function finish(connection: SpdyConnection, streams: Map<string, SpdyStream>, status: ExecStatus): void {
  const ended = ['stdout', 'stderr'].flatMap((name) => {
    const stream = streams.get(name);
    return stream === undefined ? [] : [new Promise<void>((resolve) => stream.once('close', resolve).end(resolve))];
  });
  const error = streams.get('error');
  void Promise.all(ended).then(() => error?.end(JSON.stringify(status), () => connection.close()));
}
