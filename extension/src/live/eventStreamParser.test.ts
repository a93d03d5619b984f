import { expect, test } from 'vitest';

import { EventStreamParser } from './eventStreamParser.ts';

test('events come out whole however the stream is cut', () => {
  const stream = ': hello\n\nid: 7\nevent: step\ndata: {"a":1}\n\nid: 8\r\ndata: one\r\ndata: two\r\n\r\n';
  for (let size = 1; size <= stream.length; size++) {
    const parser = new EventStreamParser();
    const events = [];
    for (let at = 0; at < stream.length; at += size) events.push(...parser.push(stream.slice(at, at + size)));
    expect(events).toEqual([
      { id: '7', data: '{"a":1}' },
      { id: '8', data: 'one\ntwo' },
    ]);
  }
});

test('an event without data is none, and an id lasts', () => {
  const parser = new EventStreamParser();
  expect(parser.push('id: 3\n\n')).toEqual([]);
  expect(parser.push('data: x\n\n')).toEqual([{ id: '3', data: 'x' }]);
});
