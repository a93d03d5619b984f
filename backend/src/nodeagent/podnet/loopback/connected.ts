import type { Socket } from 'node:net';

/** Resolves with the socket when it is connected; rejects with its error, or when `signal` aborts. */
export async function connected(socket: Socket, signal: AbortSignal): Promise<Socket> {
  const abort = (): void => void socket.destroy(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    // A reset before the caller has put its own listener on must not end the whole process.
    return socket.on('error', () => {});
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
