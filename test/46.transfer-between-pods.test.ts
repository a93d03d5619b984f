import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ImageCatalogue } from '../backend/src/nodeagent/images/imageCatalogue.ts';
import { pod, programOf } from '../backend/src/nodeagent/podnet/podNetTesting.ts';
import type { PodNet, PodSandbox } from '../backend/src/nodeagent/podnet/podNet.ts';
import type { Grant, TransferAgentOptions, TransportName } from '../backend/src/transfer/index.ts';
import { buildPodinit } from '../native/podinit/build.mjs';
import type { PeerCommand } from './50.transfer-peer.ts';
import { makePodNet } from './support/podNetDrivers.ts';

const project = path.resolve(import.meta.dirname, '..');
const image = 'nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.0';
const blocks = 64;

beforeAll(() => void buildPodinit());

/** test/50.transfer-peer.ts as the program of a pod, with the mounts that the catalogue gives the runtime image. */
async function startPeer(sandbox: PodSandbox, catalogue: ImageCatalogue, agent: TransferAgentOptions): Promise<<T>(command: PeerCommand) => Promise<T>> {
  const setup = JSON.stringify({ agent, blocks, blockBytes: 16_384, seed: 7 });
  const resolved = catalogue.resolve(image);
  const started = await sandbox.spawn(
    programOf(['node', '--disable-warning=ExperimentalWarning', path.join(project, 'test/50.transfer-peer.ts'), setup], {
      mounts: resolved?.mounts.filter(({ source }) => existsSync(source)) ?? [],
      stdin: true,
    }),
  );
  let errors = '';
  started.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
  const lines = createInterface({ input: started.stdout as Readable })[Symbol.asyncIterator]();
  const next = async <T>(): Promise<T> => {
    const line = await lines.next();
    if (line.done === true) throw new Error(`the program of ${sandbox.uid} is gone: ${errors}`);
    return JSON.parse(line.value) as T;
  };
  await next();
  return (command) => {
    started.stdin?.write(`${JSON.stringify(command)}\n`);
    return next();
  };
}

describe.each(['namespaces', 'loopback'] as const)('KV blocks between two pods: %s', (driver) => {
  let dir: string;
  let net: PodNet;
  let transfer: string;
  let owner: <T>(command: PeerCommand) => Promise<T>;
  let reader: <T>(command: PeerCommand) => Promise<T>;
  let addresses: string[];

  beforeAll(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'kvpods-'));
    transfer = path.join(dir, 'kv');
    mkdirSync(transfer, { mode: 0o700 });
    net = makePodNet(driver, path.join(dir, 'net'));
    await net.start(AbortSignal.timeout(10_000));
    const catalogue = ImageCatalogue.fromFile(path.join(project, 'assets/images/catalogue.yaml'), {
      project,
      cache: project,
      node: path.dirname(process.execPath),
      transfer,
    });
    const folder = catalogue.resolve(image)?.env['DYNAMO_LABS_TRANSFER_DIR'] ?? '';
    const sandboxes = await Promise.all(['prefill', 'decode'].map((name) => net.createSandbox(pod(name))));
    const [prefill, decode] = sandboxes as [PodSandbox, PodSandbox];
    addresses = [`unix:${folder}/prefill.sock`, `tcp:${prefill.ip}:20400`];
    const options = { fingerprint: 'test', token: 'secret', inlineBytes: 0 };
    [owner, reader] = await Promise.all([
      startPeer(prefill, catalogue, { name: 'prefill', listen: addresses, ...options }),
      startPeer(decode, catalogue, { name: 'decode', ...options }),
    ]);
  });
  afterAll(async () => {
    await net?.close({ keepPods: false });
    rmSync(dir, { recursive: true, force: true });
  });

  const read = (transports: TransportName[]) => async (): Promise<string[]> => {
    const grant = await owner<Grant>({ do: 'grant' });
    return (await reader<{ codes: string[] }>({ do: 'read', grant, transports, deadlineMs: 10_000, times: 2 })).codes;
  };

  it('as shared memory, though the pods share neither network nor processes', async () => {
    expect(await read(['shm'])()).toEqual(['IDENTICAL', 'IDENTICAL']);
  });
  it('over the Unix socket', async () => {
    expect(await read(['uds'])()).toEqual(['IDENTICAL', 'IDENTICAL']);
  });
  it('over TCP, from pod IP to pod IP', async () => {
    expect(await read(['tcp'])()).toEqual(['IDENTICAL', 'IDENTICAL']);
  });
  it('through a folder that only this user can enter', () => {
    expect(statSync(transfer).mode & 0o777).toBe(0o700);
    expect(readdirSync(transfer)).toEqual(['prefill.sock']);
  });
});
