import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KubeClient } from '../../kube/index.ts';
import type { Pod, Volume, VolumeMount } from '../pods/pod.ts';
import { writeFilesAtomically } from './atomicFiles.ts';
import { resolveHostPath } from './hostPathVolume.ts';
import { memoryVolumesDir, sweepMemoryVolumes } from './memoryVolumes.ts';
import { PodVolumes } from './podVolumes.ts';
import { ServiceAccountTokens } from './serviceAccountToken.ts';

let dir: string;
beforeEach(() => void (dir = mkdtempSync(path.join(tmpdir(), 'volumes-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const files = (entries: Record<string, string>): Map<string, { data: Buffer; mode: number }> =>
  new Map(Object.entries(entries).map(([name, text]) => [name, { data: Buffer.from(text), mode: 0o640 }]));

describe('atomic files', () => {
  test('are visible under their names, with their modes, folders included', async () => {
    await writeFilesAtomically(dir, files({ a: '1', 'sub/b': '2' }));
    expect(readFileSync(path.join(dir, 'a'), 'utf8')).toBe('1');
    expect(readFileSync(path.join(dir, 'sub/b'), 'utf8')).toBe('2');
    expect(statSync(path.join(dir, 'a')).mode & 0o777).toBe(0o640);
  });

  test('change all at once; what is gone disappears; old generations are removed', async () => {
    await writeFilesAtomically(dir, files({ a: '1', b: '1' }));
    const before = readlinkSync(path.join(dir, '..data'));
    await writeFilesAtomically(dir, files({ b: '2', c: '2' }));
    expect(readdirSync(dir).filter((name) => !name.startsWith('..'))).toEqual(['b', 'c']);
    expect(readFileSync(path.join(dir, 'b'), 'utf8')).toBe('2');
    expect(existsSync(path.join(dir, before))).toBe(false);
    expect(existsSync(path.join(dir, 'a'))).toBe(false);
  });

  test('nothing is written when nothing changed', async () => {
    await writeFilesAtomically(dir, files({ a: '1' }));
    const before = readlinkSync(path.join(dir, '..data'));
    await writeFilesAtomically(dir, files({ a: '1' }));
    expect(readlinkSync(path.join(dir, '..data'))).toBe(before);
  });
});

describe('hostPath', () => {
  test('what would be created lies below the state folder', async () => {
    expect(await resolveHostPath({ path: '/data/models', type: 'DirectoryOrCreate' }, dir)).toBe(path.join(dir, 'hostpath/data/models'));
    expect(await resolveHostPath({ path: '/data' }, dir)).toBe(path.join(dir, 'hostpath/data'));
    const file = await resolveHostPath({ path: '/x/f', type: 'FileOrCreate' }, dir);
    expect(statSync(file).isFile()).toBe(true);
  });

  test('what has to exist is the machine, and is checked', async () => {
    expect(await resolveHostPath({ path: '/usr', type: 'Directory' }, dir)).toBe('/usr');
    await expect(resolveHostPath({ path: '/usr', type: 'File' }, dir)).rejects.toThrow('hostPath type check failed: /usr is not a file');
    await expect(resolveHostPath({ path: '/no/where', type: 'Directory' }, dir)).rejects.toThrow('hostPath type check failed: /no/where is not a directory');
  });

  test('a path with dots does not get out', async () => {
    expect(await resolveHostPath({ path: '/../../etc/x', type: 'DirectoryOrCreate' }, dir)).toBe(path.join(dir, 'hostpath/etc/x'));
  });

  test('our own PersistentVolumes are where they say', async () => {
    const own = path.join(dir, 'volumes/pvc-1');
    expect(await resolveHostPath({ path: own, type: 'DirectoryOrCreate' }, dir)).toBe(own);
  });
});

test('memory volumes of pods that are gone are removed, and in the end their folder', async () => {
  const memory = memoryVolumesDir(dir);
  for (const uid of ['gone', 'kept']) mkdirSync(path.join(memory, uid, 'shm'), { recursive: true });
  await sweepMemoryVolumes(dir, new Set(['kept']));
  expect(readdirSync(memory)).toEqual(['kept']);
  await sweepMemoryVolumes(dir, new Set());
  expect(existsSync(memory)).toBe(false);
});

describe('mounts', () => {
  async function mountsOf(
    volumes: Volume[],
    volumeMounts: VolumeMount[],
    prepare: (home: string) => void = () => {},
  ): Promise<{ source: string; target: string }[]> {
    const client = new KubeClient({ server: 'https://unused' });
    const facts = { nodeName: 'n', hostIP: '10.240.0.1', podIP: '', allocatable: {} };
    const podVolumes = new PodVolumes({ client, tokens: new ServiceAccountTokens(client), home: dir, dir: path.join(dir, 'pod'), facts });
    const container = { name: 'main', image: 'i', volumeMounts };
    const pod: Pod = { metadata: { name: 'p', namespace: 'n', uid: 'u' }, spec: { containers: [container], volumes } };
    await podVolumes.setUp(pod);
    prepare(dir);
    return podVolumes.mounts(container, { SUB: 'from-env' });
  }
  const data = path.join('pod/volumes/data');

  test('subPath is made, subPathExpr expanded, inner mounts come last', async () => {
    const mounts = await mountsOf(
      [{ name: 'data', emptyDir: {} }],
      [
        { name: 'data', mountPath: '/a/b', subPath: 'x/y' },
        { name: 'data', mountPath: '/a', subPathExpr: '$(SUB)' },
      ],
    );
    expect(mounts).toEqual([
      { source: path.join(dir, data, 'from-env'), target: '/a' },
      { source: path.join(dir, data, 'x/y'), target: '/a/b' },
    ]);
  });

  test('a subPath may not leave its volume, not even through a link', async () => {
    const volumes = [{ name: 'data', emptyDir: {} }];
    await expect(mountsOf(volumes, [{ name: 'data', mountPath: '/a', subPath: '../other' }])).rejects.toThrow('leads outside of its volume');
    const link = (home: string): void => {
      mkdirSync(path.join(home, 'secret'));
      symlinkSync(path.join(home, 'secret'), path.join(home, data, 'link'));
    };
    await expect(mountsOf(volumes, [{ name: 'data', mountPath: '/a', subPath: 'link' }], link)).rejects.toThrow('leads outside of its volume');
  });

  test('a kind of volume that a node here cannot have is named', async () => {
    await expect(mountsOf([{ name: 'disk', csi: { driver: 'x' } }], [])).rejects.toThrow(
      'MountVolume.SetUp failed for volume "disk" : no volume plugin matched: volumes of kind csi are not available on this node',
    );
  });
});
