import { z } from 'zod';
import type { KvCacheEvent } from '../protocol/index.ts';
import { encodeKvEvent, HandlerError, type RequestHandler, type WireKvEvent } from '../runtime/index.ts';
import type { KvEventHistory } from './kvEventHistory.ts';

const request = z.object({ start_event_id: z.number().int().nonnegative().nullish() });

/** One page of the answer of `kv_events`. `events`: exactly what was missed. `tree_dump`: the whole cache, replaces what is known. */
export interface KvEventsPage {
  kind: 'events' | 'tree_dump';
  /** The state is complete up to this event; -1 when there was none. The same on all pages. */
  last_event_id: number;
  events: WireKvEvent[];
}

const eventsPerPage = 256;

/** Serves `kv_events`: the events from `start_event_id` on, or the whole cache where they are gone or none is named. */
export function kvEventsEndpoint(source: { history: KvEventHistory; dump: () => KvCacheEvent[] }): RequestHandler {
  return async function* (payload, { signal }) {
    const parsed = request.safeParse(payload);
    if (!parsed.success) throw new HandlerError('BAD_REQUEST', z.prettifyError(parsed.error), { refused: true });
    const start = parsed.data.start_event_id;
    const missed = start === null || start === undefined ? undefined : source.history.since(start);
    // Both are read in the same turn: no event can come between the cache and its id.
    const events = missed ?? source.dump();
    const head = { kind: missed === undefined ? ('tree_dump' as const) : ('events' as const), last_event_id: source.history.lastEventId };
    let from = 0;
    do {
      signal.throwIfAborted();
      const page: KvEventsPage = { ...head, events: events.slice(from, from + eventsPerPage).map(encodeKvEvent) };
      yield page;
      from += eventsPerPage;
    } while (from < events.length);
  };
}
