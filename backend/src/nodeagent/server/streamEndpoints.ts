import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { PodManager } from '../pods/podManager.ts';
import { HttpError } from './httpError.ts';

export async function serveStream(_manager: PodManager, _request: IncomingMessage, _socket: Duplex, _head: Buffer): Promise<void> {
  throw new HttpError(404, '404 page not found');
}
