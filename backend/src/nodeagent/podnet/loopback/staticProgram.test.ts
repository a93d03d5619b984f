import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findProgram, isStaticProgram } from './staticProgram.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'static-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A 64-bit little-endian ELF header with program headers of these types. */
function elf(types: number[]): string {
  const bytes = Buffer.alloc(64 + types.length * 56);
  bytes.write('\x7fELF\x02\x01', 'latin1');
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(types.length, 56);
  types.forEach((type, index) => bytes.writeUInt32LE(type, 64 + index * 56));
  const file = path.join(dir, `elf-${types.join('-')}`);
  writeFileSync(file, bytes);
  return file;
}

describe('statically linked programs', () => {
  test('have no interpreter', () => {
    expect(isStaticProgram(elf([6, 3, 1]))).toBe(false);
    expect(isStaticProgram(elf([1, 1, 4]))).toBe(true);
    expect(isStaticProgram(process.execPath)).toBe(false);
  });

  test('scripts, short and missing files are none', () => {
    const script = path.join(dir, 'script');
    writeFileSync(script, `#!/bin/sh\n${'# text '.repeat(20)}\n`);
    expect(isStaticProgram(script)).toBe(false);
    writeFileSync(script, 'x');
    expect(isStaticProgram(script)).toBe(false);
    expect(isStaticProgram(path.join(dir, 'none'))).toBe(false);
  });

  test('are found as the shell finds them', () => {
    writeFileSync(path.join(dir, 'tool'), '');
    expect(findProgram('tool', `/nowhere:${dir}`, '/')).toBe(path.join(dir, 'tool'));
    expect(findProgram('./tool', '', dir)).toBe(path.join(dir, 'tool'));
    expect(findProgram('tool', '/nowhere', '/')).toBeUndefined();
  });
});
