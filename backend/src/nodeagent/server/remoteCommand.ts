import type { Duplex, Readable, Writable } from 'node:stream';
import type { PodProcess } from '../podnet/podNet.ts';

/** The client's side of exec or attach, whatever protocol carries it. */
export interface RemoteStreams {
  stdin?: Readable;
  stdout?: Writable;
  stderr?: Writable;
  /** Terminal sizes as they change. */
  onResize(listener: (columns: number, rows: number) => void): void;
  /** Sends the result (metav1.Status) and ends the session. */
  finish(status: ExecStatus): void;
  /** Resolves when the client has gone. */
  readonly gone: Promise<void>;
}

/** metav1.Status as the error stream carries it (v4 and v5 protocols). */
export interface ExecStatus {
  metadata: Record<string, never>;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: { causes: { reason: string; message: string }[] };
}

/** The status of a command that ended. */
export function exitStatus(exitCode: number): ExecStatus {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

export function failureStatus(error: unknown): ExecStatus {
  return { metadata: {}, status: 'Failure', reason: 'InternalError', message: (error as Error).message };
}

/** Longest wait for output that a grandchild still holds after the command itself has ended. */
const drainMs = 500;

/** Connects a client with a program of its own and reports its end; the program is killed when the client goes. */
export async function serveCommand(process: PodProcess, client: RemoteStreams): Promise<void> {
  if (client.stdin !== undefined && process.stdin !== undefined) {
    process.stdin.on('error', () => client.stdin?.resume());
    client.stdin.pipe(process.stdin);
  }
  client.onResize((columns, rows) => process.resize?.(columns, rows));
  const flowing = [copy(process.stdout, client.stdout), copy(process.stderr, client.stderr)];
  void client.gone.then(() => process.kill('SIGKILL'));
  const { exitCode } = await process.exited;
  const late = new Promise<void>((resolve) => setTimeout(resolve, drainMs).unref());
  // With a client that reads slowly the output takes its time; only silence ends it early.
  await Promise.race([Promise.all(flowing), client.gone, late.then(() => quiet(process))]);
  client.finish(exitStatus(exitCode));
}

async function quiet(process: PodProcess): Promise<void> {
  let moved = true;
  const note = (): void => void (moved = true);
  for (const stream of [process.stdout, process.stderr]) stream?.on('data', note);
  while (moved || [process.stdout, process.stderr].some((stream) => ((stream as Duplex | undefined)?.readableLength ?? 0) > 0)) {
    moved = false;
    await new Promise((resolve) => setTimeout(resolve, drainMs).unref());
  }
}

function copy(source: NodeJS.ReadableStream | undefined, target: Writable | undefined): Promise<void> {
  if (source === undefined) return Promise.resolve();
  if (target === undefined) source.resume();
  else {
    source.pipe(target, { end: false });
    target.on('error', () => source.resume());
    target.on('close', () => source.resume());
  }
  return new Promise((resolve) =>
    source
      .once('end', resolve)
      .once('close', resolve)
      .once('error', () => resolve()),
  );
}
