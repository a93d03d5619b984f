import { describe, expect, it } from 'vitest';
import { RequestRecordStore } from './requestRecordStore.ts';

const request = (requestId: string) => ({ requestId, model: 'm', promptTokens: 3 });

describe('RequestRecordStore', () => {
  it('keeps the last ones', () => {
    const store = new RequestRecordStore(2);
    for (const id of ['a', 'b', 'c']) store.begin(request(id)).ends('ok');
    expect(store.list(10).map(({ request_id }) => request_id)).toEqual(['b', 'c']);
    expect([store.get('a'), store.list(0)]).toEqual([undefined, []]);
  });

  it('an id used again means the new request', () => {
    const store = new RequestRecordStore();
    store.begin(request('a')).ends('error', { plane: 'engine', code: 'X', message: 'x' });
    store.begin(request('a'));
    expect(store.list(10)).toMatchObject([{ status: 'running' }]);
  });

  it('the first end counts', () => {
    const tracker = new RequestRecordStore().begin(request('a'));
    tracker.ends('cancelled');
    tracker.ends('ok');
    expect(tracker.record).toMatchObject({ status: 'cancelled', path: 'aggregated' });
  });
});
