import type { IncomingMessage } from 'node:http';
import { PassThrough, Writable, type Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { HttpError } from './httpError.ts';
import type { RemoteStreams } from './remoteCommand.ts';
import { remoteCommandProtocols, type WantedStreams } from './spdyRemote.ts';

/** Channel numbers of `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte of each message. */
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 };

/** A message waits for room when this much is not sent yet. */
const highWaterBytes = 1024 * 1024;

const server = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  handleProtocols: (offered, request) => {
    const known: readonly string[] = request.url?.startsWith('/portForward') === true ? ['v4.channel.k8s.io'] : remoteCommandProtocols;
    return known.find((name) => offered.has(name)) ?? false;
  },
});

/** Completes the WebSocket handshake; refuses clients that offer none of the protocols. */
export function upgradeToWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<WebSocket> {
  const offered = String(request.headers['sec-websocket-protocol'] ?? '');
  if (!/\bv[45]\.channel\.k8s\.io\b/.test(offered)) throw new HttpError(400, `unable to upgrade: none of the protocols "${offered}" is served`);
  return new Promise((resolve) => server.handleUpgrade(request, socket, head, resolve));
}

/** A writable whose chunks go out as messages of one channel, with back-pressure. */
export function channelWriter(socket: WebSocket, number: number): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (socket.readyState !== socket.OPEN) return done(new Error('the connection is closed'));
      socket.send(Buffer.concat([Buffer.from([number]), chunk]), (error) => {
        if (error !== null && error !== undefined) done(error);
        else if (socket.bufferedAmount > highWaterBytes) setTimeout(done, 5);
        else done();
      });
    },
  }).on('error', () => {});
}

/** The streams of exec or attach over WebSocket channels. */
export async function webSocketRemote(request: IncomingMessage, socket: Duplex, head: Buffer, wanted: WantedStreams): Promise<RemoteStreams> {
  const client = await upgradeToWebSocket(request, socket, head);
  const stdin = wanted.stdin ? new PassThrough() : undefined;
  let onSize: (columns: number, rows: number) => void = () => {};
  client.on('message', (data: Buffer) => {
    const [number] = data;
    if (number === channel.stdin && stdin?.write(data.subarray(1)) === false) {
      client.pause();
      stdin.once('drain', () => client.resume());
    } else if (number === channel.close && data[1] === channel.stdin) stdin?.end();
    else if (number === channel.resize) {
      const size = JSON.parse(data.toString('utf8', 1)) as { Width: number; Height: number };
      onSize(size.Width, size.Height);
    }
  });
  const gone = new Promise<void>((resolve) => client.once('close', () => resolve()));
  client.on('error', () => client.terminate());
  return {
    ...(stdin === undefined ? {} : { stdin }),
    ...(wanted.stdout ? { stdout: channelWriter(client, channel.stdout) } : {}),
    ...(wanted.stderr ? { stderr: channelWriter(client, channel.stderr) } : {}),
    onResize: (listener) => void (onSize = listener),
    finish: (status) => {
      client.send(Buffer.concat([Buffer.from([channel.error]), Buffer.from(JSON.stringify(status))]));
      client.close(1000);
    },
    gone,
  };
}
