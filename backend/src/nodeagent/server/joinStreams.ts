import type { Duplex } from 'node:stream';

/** Connects two duplex streams both ways, with half-close; an error or the early end of one destroys both. */
export function joinStreams(a: Duplex, b: Duplex): void {
  const end = (): void => {
    a.destroy();
    b.destroy();
  };
  for (const stream of [a, b]) stream.on('error', end);
  // A stream that closed after both directions ended was closed in order.
  a.on('close', () => !b.writableEnded && end());
  b.on('close', () => !a.writableEnded && end());
  a.pipe(b);
  b.pipe(a);
}
