import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createLogger } from '../../observability/index.ts';
import { transferSettings, type TransferSettings } from './index.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-settings-'));
afterAll(() => rmSync(folder, { recursive: true }));

function settings(env: NodeJS.ProcessEnv): TransferSettings & { log: string } {
  const lines: string[] = [];
  const read = transferSettings({ namespace: 'ns', instanceId: 42n, env, logger: createLogger({ target: 't', write: (line) => lines.push(line) }) });
  return { ...read, log: lines.join('') };
}

test('by default: 120 seconds, loopback, any port, a token of the namespace that says what it is worth', () => {
  const { log, token, ...rest } = settings({});
  expect(rest).toEqual({ listen: ['tcp:127.0.0.1:0'], leaseMs: 120_000, readMs: 120_000, transports: undefined, faults: undefined });
  expect(token).toHaveLength(64);
  expect(log).toContain('protects from mix-ups, not from other users');
});

test("vLLM's names, and ours where they say more", () => {
  const env = { VLLM_NIXL_ABORT_REQUEST_TIMEOUT: '7', VLLM_NIXL_SIDE_CHANNEL_HOST: '127.0.0.9', VLLM_NIXL_SIDE_CHANNEL_PORT: '5600' };
  expect(settings(env)).toMatchObject({ leaseMs: 7_000, readMs: 7_000, listen: ['tcp:127.0.0.9:5600'] });
  expect(settings({ ...env, DYNAMO_LABS_KV_LEASE_SECONDS: '0.5', DYNAMO_LABS_KV_READ_SECONDS: '2' })).toMatchObject({ leaseMs: 500, readMs: 2_000 });
  expect(settings({ POD_IP: '10.244.0.7' }).listen).toEqual(['tcp:10.244.0.7:0']);
  expect(settings({ POD_IP: 'fd00::7', VLLM_NIXL_SIDE_CHANNEL_HOST: 'localhost' }).listen).toEqual(['tcp:[fd00::7]:0']);
  expect(settings({ DYNAMO_LABS_TRANSFER_TRANSPORTS: 'tcp, shm' }).transports).toEqual(['tcp', 'shm']);
});

test('a shared folder: a socket of its own, one token for all that only their user reads, made once', () => {
  const env = { DYNAMO_LABS_TRANSFER_DIR: folder };
  const [one, two] = [settings(env), settings(env)];
  expect(one.listen[0]).toBe(`unix:${path.join(folder, '42.sock')}`);
  expect(one.token).toMatch(/^[0-9a-f]{64}$/);
  expect(two.token).toBe(one.token);
  expect(readdirSync(folder)).toEqual(['token']);
  expect(statSync(path.join(folder, 'token')).mode & 0o777).toBe(0o600);
  expect(settings({ ...env, DYNAMO_LABS_TRANSFER_TOKEN: 'given' }).token).toBe('given');
  const long = path.join(folder, 'x'.repeat(100));
  expect(settings({ DYNAMO_LABS_TRANSFER_DIR: long, DYNAMO_LABS_TRANSFER_TOKEN: 'given' })).toMatchObject({
    listen: ['tcp:127.0.0.1:0'],
    log: expect.stringContaining('longer than 107 bytes') as string,
  });
});

test('faults: read and checked, and only ever on loopback', () => {
  const plan = [{ kind: 'reset', side: 'serve', afterBytes: 1000 }];
  const env = { DYNAMO_LABS_TRANSFER_FAULTS: JSON.stringify({ seed: 9, plan }) };
  expect(settings(env).faults).toEqual({ enable: true, seed: 9, plan });
  const { listen, log } = settings({ ...env, POD_IP: '10.244.0.7', DYNAMO_LABS_TRANSFER_DIR: folder });
  expect(listen).toEqual([`unix:${path.join(folder, '42.sock')}`]);
  expect(log).toContain('faults are injected on loopback only, so this worker does not listen on 10.244.0.7');
  for (const wrong of ['{', '{}', '{"plan":[]}', '{"plan":[{"kind":"reset","side":"up"}]}', '{"plan":[{"kind":"reset","side":"read","after":1}]}'])
    expect(() => settings({ DYNAMO_LABS_TRANSFER_FAULTS: wrong })).toThrow('environment variable DYNAMO_LABS_TRANSFER_FAULTS');
});

test('a folder that is a file is named', () => {
  const file = path.join(folder, 'file');
  writeFileSync(file, '');
  expect(() => settings({ DYNAMO_LABS_TRANSFER_DIR: file })).toThrow(/DYNAMO_LABS_TRANSFER_DIR: .*file cannot be used/);
  rmSync(file);
});
