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
    return socket;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
