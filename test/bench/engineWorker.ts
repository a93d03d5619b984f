// A process as a worker holds it: engine, KV pool all touched, tokenizer. Prints what it weighs after a prompt; ends when its input does.
import { readFile } from 'node:fs/promises';
import { createLlmEngine } from '../../backend/src/engine/index.ts';
import { loadTextCodec } from '../../backend/src/preprocess/index.ts';

export interface WorkerWeight {
  loadSeconds: number;
  poolBytes: number;
  /** Memory of this process that no other process maps too. */
  privateBytes: number;
  residentBytes: number;
  weightsShared: boolean;
}

const [modelDir = '', blocks = '128'] = process.argv.slice(2);
const began = performance.now();
const engine = await createLlmEngine({
  modelDir,
  blocks: Number(blocks),
  blockTokens: 16,
  maxNumSeqs: 8,
  maxNumBatchedTokens: 2048,
  enablePrefixCaching: true,
  threads: 1,
});
const loadSeconds = (performance.now() - began) / 1000;
const codec = await loadTextCodec(modelDir);
new Uint8Array(engine.kvPool).fill(0);
const request = {
  request_id: 'weigh',
  model: 'weigh',
  token_ids: codec.encode('A worker holds weights, blocks of keys and values, and little else. '.repeat(20)),
  sampling_options: { temperature: 0 },
  stop_conditions: { max_tokens: 4, ignore_eos: true },
  output_options: {},
  eos_token_ids: [],
  annotations: [],
};
for await (const item of engine.generate(request, new AbortController().signal)) if (item.error) throw new Error(item.error.message);
const memory = await readFile('/proc/self/smaps_rollup', 'utf8');
const bytes = (name: string): number => Number(new RegExp(`^${name}: *(\\d+) kB`, 'm').exec(memory)?.[1] ?? Number.NaN) * 1024;
const weight: WorkerWeight = {
  loadSeconds,
  poolBytes: engine.kvPool.byteLength,
  privateBytes: bytes('Private_Clean') + bytes('Private_Dirty'),
  residentBytes: bytes('Rss'),
  weightsShared: engine.model.weights?.shared ?? false,
};
console.log(JSON.stringify(weight));
for await (const _ of process.stdin);
await engine[Symbol.asyncDispose]();
