import type { Readable } from 'node:stream';
import type { LogStream, RunLog } from '../logs/runLog.ts';
import type { PodProcess } from '../podnet/podNet.ts';
import { exitStatus, type RemoteStreams } from './remoteCommand.ts';

export interface AttachTarget {
  process: PodProcess;
  log: RunLog;
  /** `stdinOnce`: the first client that leaves closes the container's stdin. */
  stdinOnce: boolean;
}

/** Logs whose container had its client. */
const attached = new WeakSet<RunLog>();

/** Whether a client can still come for a container: while it runs, and after its end where its one client has not come yet. */
export function isAttachable({ log, stdinOnce }: AttachTarget): boolean {
  return !log.closed || (stdinOnce && !attached.has(log));
}

/**
 * Connects a client with a container's own program: its output from now on, and its stdin where it has one. The first
 * client of a `stdinOnce` container (`kubectl run -i`) goes on where it has read the log: kubectl attaches only after it
 * has seen the pod run and read its log, and a short program may have ended in between.
 */
export async function serveAttach({ process, log, stdinOnce }: AttachTarget, client: RemoteStreams): Promise<void> {
  const show = (stream: LogStream, bytes: Buffer): void => void (stream === 'stdout' ? client.stdout : (client.stderr ?? client.stdout))?.write(bytes);
  if (stdinOnce && !attached.has(log)) for (const [stream, bytes] of log.unread()) show(stream, bytes);
  attached.add(log);
  log.on('data', show);
  const detach = log.closed ? () => {} : connectStdin(process, client.stdin, stdinOnce);
  client.onResize((columns, rows) => process.resize?.(columns, rows));
  const ended = log.closed ? Promise.resolve() : new Promise<void>((resolve) => log.once('closed', resolve));
  await Promise.race([ended, client.gone]);
  log.off('data', show);
  detach();
  // As with a kubelet, the end of the container is a success of attach: the exit code is in the pod's status.
  if (log.closed) client.finish(exitStatus(0));
}

function connectStdin(process: PodProcess, stdin: Readable | undefined, stdinOnce: boolean): () => void {
  const target = process.stdin;
  if (stdin === undefined || target === undefined) return () => {};
  const write = (bytes: Buffer): void => {
    if (target.write(bytes)) return;
    stdin.pause();
    target.once('drain', () => stdin.resume());
  };
  const end = (): void => void (stdinOnce && target.end());
  target.on('error', () => stdin.resume());
  stdin.on('data', write);
  stdin.once('end', end);
  return () => {
    stdin.off('data', write);
    end();
  };
}
