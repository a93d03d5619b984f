import { describe, expect, it } from 'vitest';
import { checksumOf } from './kubernetesRelease.ts';
import { versionWithin } from './programVersion.ts';

describe('versionWithin', () => {
  it.each([
    ['1.36.3', true],
    ['1.36.10', true],
    ['1.36.2', false],
    ['1.35.9', false],
    ['1.37.0', false],
  ])('%s', (version, fits) => {
    expect(versionWithin(version, '1.36.3', '1.37')).toBe(fits);
  });
});

describe('checksumOf', () => {
  const a = 'a'.repeat(64);
  it('finds a file by its whole name', () => {
    expect(checksumOf(`${'b'.repeat(64)}  x-linux-amd64.tar.gz.sig\n${a} *x-linux-amd64.tar.gz\n`, 'x-linux-amd64.tar.gz')).toBe(a);
    expect(checksumOf('', 'x')).toBeUndefined();
  });
});
