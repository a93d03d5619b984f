import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Copies both ways until both sides have ended. A side that ends its writing keeps receiving (half close), a slow reader
 * slows the writer, and a reset on one side becomes a reset on the other. Both must allow half-open use.
 */
export function joinSockets(a: Duplex, b: Duplex): void {
  if (a.destroyed || b.destroyed) {
    resetSocket(a);
    resetSocket(b);
    return;
  }
  a.pipe(b);
  b.pipe(a);
  tearDown(a, b);
  tearDown(b, a);
}

function tearDown(from: Duplex, to: Duplex): void {
  from.once('error', () => resetSocket(to));
  from.once('close', () => {
    // Closed without having sent everything: the other side must not mistake that for an orderly end.
    if (!from.readableEnded) resetSocket(to);
    else if (!to.writableEnded) to.end();
  });
}

/** Ends a connection so that the peer sees a reset. */
export function resetSocket(socket: Duplex): void {
  if (socket.destroyed) return;
  if (socket instanceof Socket) socket.resetAndDestroy();
  else socket.destroy();
}
