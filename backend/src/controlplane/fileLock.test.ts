import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tryFileLock, waitFileLock } from './fileLock.ts';
import { identityOf } from './processIdentity.ts';

describe('file lock', () => {
  let lock: string;
  beforeEach(() => {
    lock = path.join(mkdtempSync(path.join(tmpdir(), 'dynamo-labs-lock-')), 'lock');
  });
  afterEach(() => rmSync(path.dirname(lock), { recursive: true }));

  it('is held by one, and names the holder to the other', () => {
    const first = tryFileLock(lock);
    expect(first.holder).toBeUndefined();
    expect(tryFileLock(lock).holder).toEqual(identityOf(process.pid));
    first.release();
    expect(readdirSync(path.dirname(lock))).toEqual([]);
  });

  it('is taken over from a dead owner, also when its pid lives on as another process', () => {
    writeFileSync(lock, JSON.stringify({ pid: process.pid, startTime: 1 }));
    expect(tryFileLock(lock).holder).toBeUndefined();
  });

  it('is waited for until it is free', async () => {
    const first = tryFileLock(lock);
    let waitsFor = 0;
    const second = waitFileLock(lock, { signal: AbortSignal.timeout(10_000), onWait: ({ pid }) => (waitsFor = pid) });
    await expect.poll(() => waitsFor).toBe(process.pid);
    first.release();
    (await second)();
  });
});
