import type { Response } from 'express';
import { SseStream } from './sseStream.ts';

export interface RecordStreamOptions<T> {
  response: Response;
  /** Aborted when the frontend closes. */
  signal: AbortSignal;
  /** The comment with which the stream begins. */
  greeting: string;
  subscribe: (listener: (record: T) => void) => Disposable;
  idOf: (record: T) => string | number;
}

/** Records that wait for a slow reader; older ones are left out for it. */
const backlog = 1_000;

/** Answers with server-sent events, one per record, until the reader or the frontend ends it. */
export async function streamRecords<T>({ response, signal, greeting, subscribe, idOf }: RecordStreamOptions<T>): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const queue: T[] = [];
  let wake = (): void => {};
  const ended = AbortSignal.any([gone.signal, signal]);
  const stream = new SseStream(response, ended);
  const subscription = subscribe((record) => {
    // As it is now, in the form in which it is sent: a record goes on changing, and may be made of getters, which structuredClone leaves out.
    queue.push(JSON.parse(JSON.stringify(record)) as T);
    if (queue.length > backlog) queue.shift();
    wake();
  });
  ended.addEventListener('abort', () => wake(), { once: true });
  try {
    await stream.comment(greeting);
    while (!ended.aborted) {
      for (let record = queue.shift(); record !== undefined; record = queue.shift()) await stream.send(record, { id: idOf(record) });
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, 15_000);
      });
      clearTimeout(timer);
      if (queue.length === 0 && !ended.aborted) await stream.comment('keep-alive');
    }
  } catch (error) {
    if (!ended.aborted) throw error;
  } finally {
    subscription[Symbol.dispose]();
    stream.end();
  }
}
