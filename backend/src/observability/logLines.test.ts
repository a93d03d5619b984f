import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, read, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLogLines } from './logLines.ts';

let dir: string;
beforeEach(() => void (dir = mkdtempSync(path.join(tmpdir(), 'log-lines-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i += 1) await new Promise(setImmediate);
};
const lines = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i} ${'x'.repeat(1000)}\n`);

describe('log lines', () => {
  it('goes on while nobody reads, and what was written comes whole and in order', async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', onWarning);
    const fifo = path.join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const fd = openSync(fifo, constants.O_RDWR); // far more than a pipe holds: a write that waits would wait for ever
    try {
      const writer = openLogLines({ fd });
      const written = lines(500);
      for (const line of written) {
        writer.write(line);
        await turns(1);
      }
      const expected = written.join('');
      const chunk = Buffer.alloc(65_536);
      let seen = '';
      while (seen.length < expected.length) seen += chunk.subarray(0, (await promisify(read)(fd, chunk, 0, chunk.length, null)).bytesRead).toString();
      expect(seen).toBe(expected);
      expect(warnings).toEqual([]);
    } finally {
      process.off('warning', onWarning);
      closeSync(fd);
    }
  });

  it('writes what came while lines were being written, with nothing after it', async () => {
    for (let round = 0; round < 50; round += 1) {
      const file = path.join(dir, `log-${round}`);
      const fd = openSync(file, 'a');
      const writer = openLogLines({ fd });
      writer.write('one\n');
      await turns(1);
      writer.write('two\n');
      await expect.poll(() => readFileSync(file, 'utf8'), { interval: 2 }).toBe('one\ntwo\n');
      closeSync(fd);
    }
  });

  it('writes the lines of one turn together, and the rest at the end', async () => {
    const file = path.join(dir, 'log');
    writeFileSync(file, '');
    const fd = openSync(file, 'a');
    try {
      const writer = openLogLines({ fd });
      writer.write('one\n');
      writer.write('two\n');
      expect(readFileSync(file, 'utf8')).toBe('');
      writer.flushSync();
      expect(readFileSync(file, 'utf8')).toBe('one\ntwo\n');
      await turns(3);
      writer.flushSync();
      expect(readFileSync(file, 'utf8')).toBe('one\ntwo\n');
    } finally {
      closeSync(fd);
    }
  });

  it('drops what does not fit, and says how much', () => {
    const file = path.join(dir, 'log');
    const fd = openSync(file, 'a');
    try {
      const writer = openLogLines({ fd, limit: 100 });
      for (const line of ['12345\n', 'dropped'.padEnd(100), 'also'.padEnd(100)]) writer.write(line);
      writer.flushSync();
      expect(readFileSync(file, 'utf8')).toBe('12345\n(2 log lines dropped: they were not read fast enough)\n');
    } finally {
      closeSync(fd);
    }
  });
});
