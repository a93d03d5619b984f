import { describe, expect, test } from 'vitest';
import { hostPathOf, rewritePaths } from './rewritePaths.ts';

const mounts = [
  { source: '/state/pods/1/config', target: '/etc/nats' },
  { source: '/state/pods/1/data', target: '/data' },
  { source: '/state/pods/1/inner', target: '/data/inner' },
  { source: '/opt/project', target: '/opt/project' },
];

describe('paths where pods share the files of the host', () => {
  test.each([
    ['/data', '/state/pods/1/data'],
    ['/data/a/b', '/state/pods/1/data/a/b'],
    ['/data/inner/x', '/state/pods/1/inner/x'],
    ['/database', '/database'],
    ['/opt/project/x', '/opt/project/x'],
  ])('%s is %s', (target, host) => expect(hostPathOf(target, mounts)).toBe(host));

  test.each([
    ['--config=/etc/nats/nats.conf', '--config=/state/pods/1/config/nats.conf'],
    ['cat /data/inner/x > /data/y; ls "/data"', 'cat /state/pods/1/inner/x > /state/pods/1/data/y; ls "/state/pods/1/data"'],
    ['/data:/data/inner', '/state/pods/1/data:/state/pods/1/inner'],
    ['/database http://host/data /var/data', '/database http://host/data /var/data'],
    ['node /opt/project/main.ts', 'node /opt/project/main.ts'],
  ])('%s becomes %s', (word, rewritten) => expect(rewritePaths(word, mounts)).toBe(rewritten));

  test('without mounts that are moved nothing changes', () => {
    expect(rewritePaths('/data/x', [])).toBe('/data/x');
  });
});
