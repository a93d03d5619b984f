import type { Socket as DatagramSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';

/** Hands a listening server's connections on; disposing ends the server and what is still connected. */
export function serveConnections(server: Server, onConnection: (socket: Socket) => void): AsyncDisposable {
  const open = new Set<Socket>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    // Without a listener of the consumer's a reset would be an uncaught exception.
    socket.on('error', () => {});
    onConnection(socket);
  });
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** Answers datagrams of a bound socket; answers that cannot be delivered are lost, as datagrams are. */
export function serveDatagrams(socket: DatagramSocket, onMessage: (message: Buffer, reply: (answer: Buffer) => void) => void): AsyncDisposable {
  socket.on('error', () => {});
  socket.on('message', (message, from) => onMessage(message, (answer) => socket.send(answer, from.port, from.address)));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())) };
}
