import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { mapConfiguration } from './mapConfiguration.ts';

const dir = mkdtempSync(path.join(tmpdir(), 'map-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const config = path.join(dir, 'volumes', 'config');
const data = path.join(dir, 'volumes', 'data');
const mounts = [
  { source: config, target: '/etc/nats' },
  { source: data, target: '/data' },
];
mkdirSync(config, { recursive: true });
const file = path.join(config, 'nats.conf');
writeFileSync(file, 'port: 4222\njetstream {\n  store_dir: /data\n}\n');

test('a configuration file of a volume is read with the places of the volumes in it', () => {
  const copy = mapConfiguration(file, mounts, dir);
  expect(readFileSync(copy, 'utf8')).toBe(`port: 4222\njetstream {\n  store_dir: ${data}\n}\n`);
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  expect(mapConfiguration(`--config=${file}`, mounts, dir)).toBe(`--config=${copy}`);
});

test('other words and files stay as they are', () => {
  const other = path.join(config, 'other.conf');
  writeFileSync(other, 'port: 4222\n');
  for (const word of ['-c', '/etc/hostname', config, other, path.join(config, 'none'), '--port=4222']) expect(mapConfiguration(word, mounts, dir)).toBe(word);
});
