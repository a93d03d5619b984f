import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test, vi } from 'vitest';
import { temporaryTinyModel } from './testing/tinyModels.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
const engineFolder = import.meta.dirname;
// Each test starts a process and computes for a while.
vi.setConfig({ testTimeout: 120_000 });
afterAll(() => vi.resetConfig());

/** Runs a module in a process of its own, where `start()` loads the model and begins a long step. Rejects if the process does not exit by itself with 0. */
async function run(script: string): Promise<string> {
  const prelude = `
    import { Worker } from 'node:worker_threads';
    import { nativeAddon } from ${JSON.stringify(path.resolve(engineFolder, '../../../native/lib/native.ts'))};
    import { describeModel } from ${JSON.stringify(path.join(engineFolder, 'modelFiles/index.ts'))};
    const description = describeModel(${JSON.stringify(files.dir)});
    const load = () => nativeAddon().loadModel({ spec: { ...description.spec, maxPosition: 8192 }, files: description.files, tensors: description.tensors, blockTokens: 16, threads: 2 });
    const start = async () => {
      const model = await load();
      model.attachPool(nativeAddon().allocatePages(model.info.blockBytes * 512));
      const step = model.step([{ tokens: new Int32Array(4096).fill(3), start: 0, blocks: Int32Array.from({ length: 512 }, (_, i) => i), logits: true }]);
      return { model, step };
    };`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--expose-gc', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', prelude + script],
    {
      timeout: 110_000,
    },
  );
  return stdout.trim();
}

test('a process waits for a step in flight, then exits by itself, with the model never disposed', async () => {
  expect(await run(`const { step } = await start(); void step.then(([result]) => console.log(result.logits.length));`)).toBe('512');
});

test('a process waits for a step behind a copy of blocks too, and the copies are made in order', async () => {
  const script = `
    const model = await load();
    const pool = nativeAddon().allocatePages(model.info.blockBytes * 512);
    model.attachPool(pool);
    const host = nativeAddon().allocatePages(model.info.blockBytes * 2);
    new Uint8Array(host).fill(7);
    void model.copyBlocks(host, Int32Array.of(0, 1), Int32Array.of(300, 0, 301, 1)).then(() => {
      const at = (block) => new Uint8Array(pool)[block * model.info.blockBytes];
      console.log(new Uint8Array(host)[model.info.blockBytes], at(300), at(301));
    });
    void model.step([{ tokens: new Int32Array(1024).fill(3), start: 0, blocks: Int32Array.from({ length: 512 }, (_, i) => i), logits: true }]).then(() => console.log('stepped'));
    for (const wrong of [Int32Array.of(512, 0), Int32Array.of(0, 2), Int32Array.of(-1, 0)]) try { model.copyBlocks(host, wrong, new Int32Array()); } catch (error) { console.log(error.name); }`;
  expect(await run(script)).toBe('RangeError\nRangeError\nRangeError\n0 7 0\nstepped');
});

test('process.exit during a step does not hang or crash', async () => {
  expect(await run(`await start(); console.log('leaving'); process.exit(0);`)).toBe('leaving');
});

test('disposing during a step rejects the step', async () => {
  expect(
    await run(`const { model, step } = await start(); step.catch((error) => console.log(error.code)); await model.dispose(); console.log('disposed');`),
  ).toBe('CANCELLED\ndisposed');
});

test('a forgotten model is freed by the garbage collector', async () => {
  const script = `
    const rss = () => process.memoryUsage().rss / 2 ** 20;
    for (let i = 0; i < 3; i++) await load();
    const before = rss();
    for (let i = 0; i < 30; i++) { await load(); gc(); await new Promise(setImmediate); }
    console.log(rss() - before < 60 ? 'freed' : 'kept ' + (rss() - before) + ' MiB');`;
  expect(await run(script)).toBe('freed');
});

const transferPool = `
    const agent = new (nativeAddon().TransferAgent)({ name: 'a', fingerprint: 'f', token: 't', listen: ['tcp:127.0.0.1:0'], faults: [] }, () => {});
    const { buffer } = agent.createPool({ bytes: model.info.blockBytes * 512, blockBytes: model.info.blockBytes, prefault: false });
    model.attachPool(buffer);`;

test.each([
  ['can load and leave, also in the middle of a step', 'model.attachPool(nativeAddon().allocatePages(model.info.blockBytes * 512));', ['started', 'done']],
  ['that computes in a pool of the transfer engine can leave in the middle of a step', transferPool, ['started', 'started', 'done']],
])('a worker thread %s', async (_name, attachPool, ends) => {
  const worker = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { nativeAddon } = await import(workerData.native);
    const model = await nativeAddon().loadModel(workerData.options);
    ${attachPool}
    const step = model.step([{ tokens: new Int32Array(4096).fill(3), start: 0, blocks: Int32Array.from({ length: 512 }, (_, i) => i), logits: true }]);
    parentPort.postMessage('started');
    await step;
    parentPort.postMessage('done');`;
  const script = `
    const options = { spec: { ...description.spec, maxPosition: 8192 }, files: description.files, tensors: description.tensors, blockTokens: 16, threads: 1 };
    const workerData = { native: ${JSON.stringify(path.resolve(engineFolder, '../../../native/lib/native.ts'))}, options };
    for (const last of ${JSON.stringify(ends)}) {
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData });
      await new Promise((resolve) => worker.on('message', (message) => message === last && resolve()));
      await worker.terminate();
    }
    console.log('ended');`;
  expect(await run(script)).toBe('ended');
});
