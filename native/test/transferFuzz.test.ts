import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { decodeMetadata } from '../../backend/src/transfer/metadata.ts';
import { decodeChallenge, decodeFrameHeader, decodeHello, decodeRefusal, type WireIdentity } from '../../backend/src/transfer/wireDecoder.ts';

const execute = promisify(execFile);
const native = path.resolve(import.meta.dirname, '..');
const corpus = path.join(import.meta.dirname, 'fuzz', 'corpus');
const seconds = Number(process.env['DYNAMO_LABS_FUZZ_SECONDS'] ?? 60);
const clang = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .flatMap((folder) => ['clang++', 'clang++-14', 'clang++-16'].map((name) => path.join(folder, name)))
  .find((file) => existsSync(file));
const portable = [
  'frame',
  'handshake',
  'metadata',
  'push_order',
  'sha256',
  'scatter_store',
  'chunk_hash',
  'chunk_hash_portable',
  'chunk_hash_avx2',
  'chunk_hash_avx512',
];

async function compile(compiler: string, flags: string[], folder: string): Promise<string> {
  const objects: string[] = [];
  const wide = (name: string) => /_avx(2|512)$/.exec(name)?.[1];
  const sources = portable.filter((name) => process.arch === 'x64' || wide(name) === undefined).map((name) => path.join(native, 'src/transfer', `${name}.cc`));
  for (const source of [...sources, path.join(import.meta.dirname, 'fuzz', 'fuzz_decoders.cc')]) {
    const width = wide(path.basename(source, '.cc'));
    const object = path.join(folder, `${path.basename(source)}.o`);
    const vector = width === undefined ? [] : [width === '2' ? '-mavx2' : '-mavx512f'];
    await execute(compiler, ['-std=c++20', '-O1', '-g', ...flags, ...vector, `-I${native}/src`, '-c', source, '-o', object]);
    objects.push(object);
  }
  const binary = path.join(folder, 'fuzz');
  await execute(compiler, [...flags, ...objects, '-o', binary]);
  return binary;
}

const hex = (value: Uint8Array | string) => Buffer.from(value as string, 'latin1').toString('hex');
const who = (one: WireIdentity) => `${hex(one.name)} ${one.epoch} ${hex(one.fingerprint)}`;

/** The line that the C++ side prints, from the TypeScript decoders; undefined where there is no second decoder. */
function second(input: Uint8Array): string | undefined {
  if (input.byteLength === 0) return 'empty';
  const bytes = input.slice(1);
  switch ((input[0] as number) % 6) {
    case 0: {
      const header = decodeFrameHeader(bytes);
      if (typeof header === 'string') return header === 'short' ? header : `no: ${header}`;
      return `frame ${header.type} ${header.flags} ${header.transfer} ${header.aux} ${header.sequence} ${header.length} ${header.payloadHash}`;
    }
    case 1: {
      const one = decodeChallenge(bytes);
      return one ? `challenge ${who(one.owner)} ${hex(one.nonce)}` : 'no';
    }
    case 2: {
      const one = decodeHello(bytes);
      return one ? `hello ${who(one.reader)} ${one.expectedEpoch} ${one.channel} ${hex(one.nonce)} ${hex(one.proof)}` : 'no';
    }
    case 3: {
      const one = decodeRefusal(bytes);
      return one ? `refusal ${one.code} ${hex(one.reason)}` : 'no';
    }
    case 4: {
      const one = decodeMetadata(bytes);
      if (!one) return 'no';
      return [`metadata ${who(one)}`, ...one.addresses.map(hex), ...one.pools.map((pool) => `${pool.id}/${pool.bytes}/${pool.blockBytes}`)].join(' ');
    }
    default:
      return undefined;
  }
}

describe.skipIf(process.platform !== 'linux')('decoders of what peers send', () => {
  test('two decoders, one answer: the corpus and thousands of mutations of it', { timeout: 300_000 }, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-fuzz-'));
    try {
      const printer = await compile(process.env['CXX'] ?? 'c++', ['-DDYNAMO_LABS_PRINT'], folder);
      const seeds = await Promise.all((await readdir(corpus)).toSorted().map((name) => readFile(path.join(corpus, name))));
      let state = 12_345; // fixed: a failure can be repeated
      const random = (below: number) => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) % below;
      const inputs: Buffer[] = [...seeds];
      while (inputs.length < 4000) {
        const one = Buffer.from(seeds[random(seeds.length)] as Buffer);
        for (let changes = random(4); changes >= 0 && one.length > 1; changes--) one[1 + random(one.length - 1)] = random(256);
        inputs.push(random(4) === 0 ? one.subarray(0, random(one.length + 1)) : one);
      }
      await mkdir(path.join(folder, 'in'));
      const files = await Promise.all(
        inputs.map(async (input, index) => {
          const file = path.join(folder, 'in', String(index));
          await writeFile(file, input);
          return file;
        }),
      );
      const { stdout } = await execute(printer, files, { maxBuffer: 64 << 20 });
      const first = stdout.trimEnd().split('\n');
      expect(first.length).toBe(inputs.length);
      inputs.forEach((input, index) => {
        const expected = second(input);
        if (expected !== undefined) expect(first[index], `input ${input.toString('hex')}`).toBe(expected);
      });
      expect(first.slice(0, seeds.length).filter((line) => /^(frame|challenge|hello|refusal|metadata|push)/.test(line)).length).toBeGreaterThanOrEqual(6);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test.skipIf(!clang)(
    `libFuzzer finds nothing in ${seconds} s${clang ? '' : ' (skipped: clang is not installed)'}`,
    { timeout: (seconds + 240) * 1000 },
    async () => {
      const folder = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-fuzz-'));
      try {
        const fuzzer = await compile(clang as string, ['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=undefined'], folder);
        await mkdir(path.join(folder, 'found'));
        const { stderr } = await execute(
          fuzzer,
          [path.join(folder, 'found'), corpus, `-max_total_time=${seconds}`, '-max_len=4096', `-artifact_prefix=${folder}/`],
          { maxBuffer: 64 << 20 },
        );
        expect(stderr).toMatch(/Done \d+ runs/);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
