import { spawn, type ChildProcess } from 'node:child_process';
import { freePort } from '../../backend/src/controlplane/freePort.ts';
import { stateLayout } from '../../backend/src/controlplane/index.ts';
import { resolveNats } from '../../backend/src/controlplane/natsServer.ts';
import { eventually } from './servingGroup.ts';

/** A real nats-server of one test file, which can be lost and come back on the same port. */
export interface NatsTestServer {
  readonly url: string;
  readonly running: boolean;
  /** Resolves when it takes connections. */
  start(): Promise<void>;
  /** By SIGKILL. Does nothing when it does not run. */
  stop(): Promise<void>;
}

/** Not started yet. */
export async function natsTestServer(): Promise<NatsTestServer> {
  const program = await resolveNats(stateLayout(), { signal: AbortSignal.timeout(200_000), log: (line) => console.log(line) });
  const port = await freePort();
  let server: ChildProcess | undefined;
  return {
    url: `nats://127.0.0.1:${port}`,
    get running() {
      return server !== undefined;
    },
    async start() {
      const child = spawn(program, ['-a', '127.0.0.1', '-p', String(port)], { stdio: ['ignore', 'ignore', 'pipe'] });
      server = child;
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
      await eventually(
        async () => log,
        (text) => text.includes('Server is ready'),
      );
    },
    async stop() {
      const child = server;
      server = undefined;
      if (child === undefined || child.exitCode !== null) return;
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
    },
  };
}
