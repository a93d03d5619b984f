import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readLog, type LogOptions } from './logReader.ts';
import { RunLog, splitLines } from './runLog.ts';

let dir: string;
beforeEach(() => void (dir = mkdtempSync(path.join(tmpdir(), 'runlog-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

async function read(file: string, options: LogOptions = {}, live?: RunLog): Promise<string> {
  const parts: Buffer[] = [];
  for await (const bytes of readLog(file, options, live)) parts.push(bytes);
  return Buffer.concat(parts).toString();
}

/** A log of piped output, closed. */
function logOf(...chunks: string[]): RunLog {
  const log = new RunLog({ dir, run: 0 });
  for (const chunk of chunks) log.append('stdout', Buffer.from(chunk));
  log.close();
  return log;
}

test('a client that comes late gets what was written, with unfinished and over-long lines as they were', () => {
  const log = new RunLog({ dir, run: 0 });
  const text = `one\n\n${'x'.repeat(40_000)}\n# `;
  log.append('stdout', Buffer.from(text));
  log.append('stderr', Buffer.from('bad F \n'));
  const both = (stream: string): string =>
    Buffer.concat(
      log
        .unread()
        .filter(([from]) => from === stream)
        .map(([, bytes]) => bytes),
    ).toString();
  expect([both('stdout'), both('stderr')]).toEqual([text, 'bad F \n']);
  log.close();
  expect([both('stdout'), both('stderr')]).toEqual([text, 'bad F \n']);
  log.readBytes = 'one\n\nxx'.length;
  expect([both('stdout'), both('stderr')]).toEqual([text.slice(7), 'bad F \n']);
  expect(logOf('y'.repeat(99) + '\n', 'z'.repeat(300_000)).unread()).toEqual([]);
});

test('lines are cut at newlines, at 16 KiB, and at the end', () => {
  const long = Buffer.alloc(40_000, 97);
  expect(splitLines(Buffer.from('a\nb\nc'), false)).toMatchObject({ used: 4 });
  expect(splitLines(Buffer.from('a\nb'), true).lines.map(({ text, partial }) => [text.toString(), partial])).toEqual([
    ['a', false],
    ['b', true],
  ]);
  expect(splitLines(long, false).lines.map(({ text }) => text.length)).toEqual([16384, 16384]);
  expect(splitLines(long, true).lines.map(({ text }) => text.length)).toEqual([16384, 16384, 7232]);
});

describe('reading', () => {
  test('gives back every byte, also of long and unfinished lines', async () => {
    const text = `short\n${'x'.repeat(50_000)}\n\nno newline at the end`;
    expect(await read(logOf(text.slice(0, 3), text.slice(3, 20_000), text.slice(20_000)).file)).toBe(text);
  });

  test('tail, limit, timestamps, since, stream', async () => {
    const log = new RunLog({ dir, run: 0 });
    log.append('stdout', Buffer.from('one\ntwo\n'));
    log.append('stderr', Buffer.from('bad\n'));
    log.close();
    expect(await read(log.file, { tailLines: 2 })).toBe('two\nbad\n');
    expect(await read(log.file, { tailLines: 0 })).toBe('');
    expect(await read(log.file, { limitBytes: 5 })).toBe('one\nt');
    expect(await read(log.file, { timestamps: true, tailLines: 1 })).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z bad\n$/);
    expect(await read(log.file, { since: Date.now() + 60_000 })).toBe('');
    expect(await read(log.file, { since: Date.now() - 60_000, stream: 'stderr' })).toBe('bad\n');
  });

  test('follows until the run ends', async () => {
    const log = new RunLog({ dir, run: 0 });
    log.append('stdout', Buffer.from('before\n'));
    const following = read(log.file, {}, log);
    for (let index = 0; index < 20; index += 1) {
      log.append('stdout', Buffer.from(`line ${index}\n`));
      await new Promise((resolve) => setImmediate(resolve));
    }
    log.close();
    expect(await following).toBe(`before\n${Array.from({ length: 20 }, (_, index) => `line ${index}\n`).join('')}`);
  });

  test('follows across a rotation, and reads the rotated part first', async () => {
    const log = new RunLog({ dir, run: 0 });
    const following = read(log.file, {}, log);
    const block = `${'y'.repeat(1023)}\n`.repeat(1024);
    for (let index = 0; index < 11; index += 1) {
      log.append('stdout', Buffer.from(block));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    log.append('stdout', Buffer.from('last\n'));
    log.close();
    const whole = await following;
    expect(whole.length).toBe(11 * block.length + 5);
    expect(statSync(`${log.file}.1`).size).toBeGreaterThan(10 * 1024 * 1024);
    expect(await read(log.file)).toBe(whole);
  });

  test('loses nothing to rotations at any moment', async () => {
    const log = new RunLog({ dir, run: 0 });
    // Each append rotates, so a reader that looks twice looks at two files; only one rotated file is kept, so it is let keep up.
    const block = `${'z'.repeat(1023)}\n`.repeat(11 * 1024);
    let seen = 0;
    const following = (async () => {
      for await (const bytes of readLog(log.file, {}, log)) seen += bytes.length;
    })();
    for (let round = 1; round <= 6; round += 1) {
      log.append('stdout', Buffer.from(block));
      for (let turn = 0; turn < round; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      await expect.poll(() => seen, { timeout: 20_000 }).toBe(round * block.length);
    }
    log.close();
    await following;
    expect(seen).toBe(6 * block.length);
  });
});

describe('a detached program', () => {
  test('is stamped as it writes, and what is left comes in at the end', async () => {
    const log = new RunLog({ dir, run: 0 }).follow();
    appendFileSync(log.rawFiles.stdout, 'out\nunfinished');
    appendFileSync(log.rawFiles.stderr, 'err\n');
    await expect.poll(() => readFileSync(log.file, 'utf8')).toContain('stderr F err');
    expect(readFileSync(log.file, 'utf8')).not.toContain('unfinished');
    log.close();
    expect((await read(log.file)).split('\n').toSorted()).toEqual(['err', 'out', 'unfinished']);
  });

  test('a later agent goes on where the last one stopped: nothing lost, nothing twice', async () => {
    // What a killed agent leaves: it had taken in "1" and "2", and appended one line more than it noted.
    const noted = ['1', '2'].map((text) => `2026-01-01T00:00:00.000000000Z stdout F ${text}\n`).join('');
    writeFileSync(path.join(dir, '0.log'), `${noted}2026-01-01T00:00:00.000000000Z stdout F 3\n`);
    writeFileSync(path.join(dir, '0.json'), JSON.stringify({ log: noted.length, stdout: 4, stderr: 0 }));
    writeFileSync(path.join(dir, '0.stdout'), '1\n2\n3\n4\n');
    const second = new RunLog({ dir, run: 0 }).follow();
    second.close();
    expect(await read(second.file)).toBe('1\n2\n3\n4\n');
  });

  test('raw output that was taken in is emptied', async () => {
    const log = new RunLog({ dir, run: 0 }).follow();
    appendFileSync(log.rawFiles.stdout, `${'z'.repeat(1023)}\n`.repeat(1100));
    await expect.poll(() => statSync(log.rawFiles.stdout).size).toBe(0);
    appendFileSync(log.rawFiles.stdout, 'more\n');
    log.close();
    expect(await read(log.file, { tailLines: 1 })).toBe('more\n');
    expect((await read(log.file)).length).toBe(1100 * 1024 + 5);
  });

  test('a position file that cannot be read means: from the start', async () => {
    writeFileSync(path.join(dir, '0.json'), '{');
    writeFileSync(path.join(dir, '0.stdout'), 'all\n');
    const log = new RunLog({ dir, run: 0 }).follow();
    log.close();
    expect(await read(log.file)).toBe('all\n');
  });
});
