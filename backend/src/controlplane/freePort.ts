import { createServer } from 'node:net';

/** Below Linux's ephemeral range (32768) and the NodePort range (30000): no outgoing connection takes a port we chose. */
const lowest = 10_000;
const highest = 29_999;

/** Whether `port` can be bound on `host` now. */
export function portIsFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** `preferred` if it is free, else a random free port. */
export async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined && (await portIsFree(preferred))) return preferred;
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest + 1));
    if (await portIsFree(port)) return port;
  }
  throw new Error(`no free TCP port on 127.0.0.1 between ${lowest} and ${highest}`);
}

/** A port that the person asked for is taken. */
export class PortBusyError extends Error {
  readonly code = 'PORT_BUSY';
  readonly port: number;
  readonly setting: string;
  constructor(port: number, setting: string) {
    super(`Port ${port} (${setting}) is in use by another program.`);
    this.name = 'PortBusyError';
    this.port = port;
    this.setting = setting;
  }
}
