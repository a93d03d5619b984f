import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PodManager } from '../pods/podManager.ts';
import { isAttachable, serveAttach } from './attach.ts';
import { findContainer } from './findContainer.ts';
import { HttpError } from './httpError.ts';
import { serveSpdyPortForward, serveWebSocketPortForward } from './portForward.ts';
import { failureStatus, serveCommand, type RemoteStreams } from './remoteCommand.ts';
import { spdyRemote, type WantedStreams } from './spdyRemote.ts';
import { webSocketRemote } from './webSocketRemote.ts';

const defaultTerminal = { columns: 80, rows: 24 };

function flag(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  return text === '1' || text === 'true';
}

/** The kubelet's own parameter names (input, output, error), and those of PodExecOptions that a WebSocket client sends. */
function wantedStreams(query: URLSearchParams): WantedStreams {
  const tty = flag(query, 'tty');
  return {
    stdin: flag(query, 'input') || flag(query, 'stdin'),
    stdout: flag(query, 'output') || flag(query, 'stdout'),
    stderr: !tty && (flag(query, 'error') || flag(query, 'stderr')),
    tty,
  };
}

function isWebSocket(request: IncomingMessage): boolean {
  const upgrade = String(request.headers.upgrade ?? '').toLowerCase();
  if (upgrade === 'websocket') return true;
  if (upgrade.startsWith('spdy/')) return false;
  throw new HttpError(400, `unable to upgrade: protocol "${upgrade}" is not served`);
}

/** `/exec`, `/attach` and `/portForward`, each over SPDY/3.1 or WebSocket, with `/{namespace}/{pod}[/{uid}][/{container}]`. */
export async function serveStream(manager: PodManager, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const url = new URL(request.url ?? '/', 'https://node');
  const [, endpoint, namespace = '', pod = '', ...rest] = url.pathname.split('/').map(decodeURIComponent);
  if (endpoint === 'portForward') {
    const worker = manager.find(namespace, pod, rest[0]);
    if (worker === undefined) throw new HttpError(404, `pod "${pod}" does not exist`);
    if (worker.sandbox === undefined)
      throw new HttpError(400, `unable to forward port because pod is not running. Current status=${worker.pod.status?.phase ?? 'Pending'}`);
    if (isWebSocket(request)) await serveWebSocketPortForward(request, socket, head, worker.sandbox);
    else serveSpdyPortForward(request, socket, head, worker.sandbox);
    return;
  }
  if (endpoint !== 'exec' && endpoint !== 'attach') throw new HttpError(404, '404 page not found');
  const container = rest.at(-1) ?? '';
  const { runner } = findContainer(manager, { namespace, pod, container, ...(rest.length > 1 ? { uid: rest[0]! } : {}) });
  const target = endpoint === 'attach' ? runner.attachTarget : undefined;
  if (endpoint === 'attach' ? target === undefined || !isAttachable(target) : runner.process === undefined) {
    throw new HttpError(500, `container not found ("${container}")`);
  }
  const wanted = wantedStreams(url.searchParams);
  const argv = url.searchParams.getAll('command');
  if (endpoint === 'exec' && argv.length === 0) throw new HttpError(400, 'you must specify a command for the container');
  const client = await (isWebSocket(request) ? webSocketRemote : spdyRemote)(request, socket, head, wanted);
  if (target !== undefined) await serveAttach(target, client);
  else await runExec(client, () => runner.exec({ argv, stdin: wanted.stdin, ...(wanted.tty ? { tty: defaultTerminal } : {}) }));
}

async function runExec(client: RemoteStreams, start: () => ReturnType<ReturnType<typeof findContainer>['runner']['exec']>): Promise<void> {
  try {
    await serveCommand(await start(), client);
  } catch (error) {
    client.finish(failureStatus(error));
  }
}
