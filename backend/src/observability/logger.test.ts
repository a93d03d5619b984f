import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';

function capture(filter?: string, jsonl = false) {
  const lines: string[] = [];
  const logger = createLogger({ target: 'dynamo_labs::worker', ...(filter === undefined ? {} : { filter }), jsonl, write: (line) => lines.push(line) });
  return { lines, logger };
}

describe('logger', () => {
  it('writes time, level, target, message and fields on one line', () => {
    const { lines, logger } = capture();
    logger.info('added model', { model_name: 'Qwen/Qwen3', note: 'two words', id: 7n });
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z {2}INFO dynamo_labs::worker: added model model_name=Qwen\/Qwen3 note="two words" id=7\n$/);
  });

  it('keeps a message with line breaks on one line', () => {
    const { lines, logger } = capture();
    logger.warn('a\nb');
    expect(lines[0]?.trimEnd().split('\n')).toHaveLength(1);
  });

  it('filters by level and by the longest matching target', () => {
    const { lines, logger } = capture('warn,dynamo_labs=info,dynamo_labs::router=debug');
    logger.debug('no');
    logger.info('yes');
    logger.child('dynamo_labs::router').debug('yes');
    logger.child('elsewhere').info('no');
    expect(lines).toHaveLength(2);
  });

  it('writes JSON lines on request', () => {
    const { lines, logger } = capture('info', true);
    logger.info('hello', { worker_id: 2n ** 60n });
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'INFO', message: 'hello', worker_id: String(2n ** 60n) });
  });
});
