import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { homedir } from 'node:os';
import path from 'node:path';

import { KitError } from './kitError';

export interface BackendRequest {
  method?: 'GET' | 'POST';
  /** Sent as JSON. */
  body?: unknown;
  /** Milliseconds until the call is given up; default 30 s. */
  deadlineMs?: number;
}

/**
 * Calls the backend over its Unix socket. Socket and token are read anew each time, so a restarted backend is found.
 *
 * @throws {KitError} `BACKEND_DOWN` when nobody answers, `BACKEND_LATE` after the deadline, else the backend's own code.
 */
export async function callBackend<T>(route: string, options: BackendRequest = {}): Promise<T> {
  const { socket, token } = backendRecord();
  const deadlineMs = options.deadlineMs ?? 30_000;
  const payload = options.body === undefined ? undefined : JSON.stringify(options.body);
  const { status, body: text } = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const call = request(
      {
        socketPath: socket,
        path: route,
        method: options.method ?? 'GET',
        headers: { authorization: `Bearer ${token}`, accept: 'application/json', ...(payload === undefined ? {} : { 'content-type': 'application/json' }) },
        signal: AbortSignal.timeout(deadlineMs),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      },
    );
    call.on('error', reject);
    call.end(payload);
  }).catch((cause: Error) => {
    if (cause.name === 'AbortError' || cause.name === 'TimeoutError')
      throw new KitError('BACKEND_LATE', `The backend did not answer ${route} within ${deadlineMs / 1000} s.`, cause);
    throw down(cause);
  });
  const answer = parse(text);
  if (status < 300) return answer as T;
  const { error } = (answer ?? {}) as { error?: { code?: string; message?: string } };
  throw new KitError(error?.code ?? `HTTP_${status}`, error?.message ?? `The backend answered ${route} with status ${status}.`);
}

function backendRecord(): { socket: string; token: string } {
  const home = process.env['DYNAMO_LABS_HOME'] ?? path.join(process.env['XDG_STATE_HOME'] ?? path.join(homedir(), '.local', 'state'), 'dynamo-labs');
  try {
    return JSON.parse(readFileSync(path.join(home, 'run', 'backend.json'), 'utf8')) as { socket: string; token: string };
  } catch (cause) {
    throw down(cause);
  }
}

function down(cause: unknown): KitError {
  return new KitError('BACKEND_DOWN', 'The Dynamo Labs backend does not answer. Run `npm run status` in the project folder; `npm start` starts it.', cause);
}

function parse(body: string): unknown {
  try {
    return body === '' ? undefined : JSON.parse(body);
  } catch {
    return undefined;
  }
}
