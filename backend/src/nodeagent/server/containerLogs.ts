import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { readLog, type LogOptions } from '../logs/logReader.ts';
import { wouldRestart } from '../pods/podPlan.ts';
import type { PodManager } from '../pods/podManager.ts';
import { findContainer } from './findContainer.ts';
import { HttpError } from './httpError.ts';

function wholeNumber(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new HttpError(422, `Invalid value of ${name}: ${text}`);
  return value;
}

function isTrue(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  return text !== null && text !== 'false' && text !== '0';
}

function logOptions(query: URLSearchParams): LogOptions {
  const tailLines = wholeNumber(query, 'tailLines');
  const limitBytes = wholeNumber(query, 'limitBytes');
  const sinceSeconds = wholeNumber(query, 'sinceSeconds');
  const sinceTime = query.get('sinceTime');
  const since = sinceSeconds === undefined ? (sinceTime === null ? undefined : Date.parse(sinceTime)) : Date.now() - sinceSeconds * 1000;
  const stream = query.get('stream')?.toLowerCase();
  return {
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(since === undefined || Number.isNaN(since) ? {} : { since }),
    ...(isTrue(query, 'timestamps') ? { timestamps: true } : {}),
    ...(stream === 'stdout' || stream === 'stderr' ? { stream } : {}),
  };
}

/** `GET /containerLogs/{namespace}/{pod}/{container}`: chunked text, flushed as it comes. */
export async function serveContainerLogs(
  manager: PodManager,
  [namespace = '', pod = '', container = '']: string[],
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const { worker, runner } = findContainer(manager, { namespace, pod, container });
  const state = worker.stateOf(container);
  const previous = isTrue(query, 'previous');
  const waits = state.now.is === 'waiting' || state.now.is === 'starting';
  // A container that waits for its next run shows the latest one, which is also its previous one.
  const between = state.now.is === 'waiting' || (state.now.is === 'terminated' && wouldRestart(state, worker.pod.spec));
  const run = previous && !between ? state.run - 1 : state.run;
  const file = path.join(runner.dir, `${run}.log`);
  if (previous && (run < 0 || !existsSync(file))) throw new HttpError(400, `previous terminated container "${container}" in pod "${pod}" not found`);
  if (!previous && (state.run < 0 || !existsSync(file))) {
    const reason = state.now.is === 'waiting' && state.now.message !== undefined ? state.now.reason : undefined;
    throw new HttpError(
      400,
      reason === undefined
        ? `container "${container}" in pod "${pod}" is waiting to start: ${waits && state.now.is === 'waiting' ? state.now.reason : 'ContainerCreating'}`
        : imageText(container, pod, reason),
    );
  }
  const abort = new AbortController();
  response.once('close', () => abort.abort());
  const live = !previous && isTrue(query, 'follow') ? runner.log : undefined;
  const options = logOptions(query);
  const log = !previous && Object.keys(options).length === 0 ? runner.attachTarget?.log : undefined;
  let readBytes = 0;
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  for await (const bytes of readLog(file, options, live, abort.signal)) {
    if (abort.signal.aborted) return;
    readBytes += bytes.length;
    if (!response.write(bytes)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
  }
  if (log !== undefined && log.file === file) log.readBytes = readBytes;
  response.end();
}

function imageText(container: string, pod: string, reason: string): string {
  const image: Record<string, string> = {
    ErrImagePull: "image can't be pulled",
    ImagePullBackOff: 'trying and failing to pull image',
    InvalidImageName: 'image has an invalid name',
  };
  return `container "${container}" in pod "${pod}" is waiting to start: ${image[reason] ?? reason}`;
}
