import type { Socket as DatagramSocket } from 'node:dgram';
import type { Server, Socket } from 'node:net';

/**
 * Hands a listening server's connections on. Disposing ends the listening only; connections belong to whoever was handed
 * them (a Service that loses its last endpoint does not cut those under way).
 */
export function serveConnections(server: Server, onConnection: (socket: Socket) => void): AsyncDisposable {
  server.on('connection', (socket) => {
    // Without a listener of the consumer's a reset would be an uncaught exception.
    socket.on('error', () => {});
    onConnection(socket);
  });
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      // close() gives the address back at the end of this turn of the event loop; its callback would wait for the connections.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** Answers datagrams of a bound socket; answers that cannot be delivered are lost, as datagrams are. */
export function serveDatagrams(socket: DatagramSocket, onMessage: (message: Buffer, reply: (answer: Buffer) => void) => void): AsyncDisposable {
  socket.on('error', () => {});
  socket.on('message', (message, from) => onMessage(message, (answer) => socket.send(answer, from.port, from.address)));
  return { [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())) };
}
