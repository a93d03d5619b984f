import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const index = JSON.stringify(path.resolve(import.meta.dirname, '..', 'backend/src/transfer/index.ts'));
/** A stalled read under way between two agents of this thread. */
const underWay = `
  const { TransferAgent } = await import(${index});
  const options = (name, more) => ({ name, fingerprint: 'x', token: 'x', listen: ['unix:@dynamo-labs-unload-' + process.pid + '-' + name + Math.random()], inlineBytes: 0, ...more });
  const owner = new TransferAgent(options('owner'));
  const reader = new TransferAgent(options('reader', { faults: { enable: true, seed: 1, plan: [{ kind: 'stall', side: 'read', ms: 60000 }] } }));
  const from = owner.createPool({ blocks: 64, blockBytes: 16384 });
  const to = reader.createPool({ blocks: 64, blockBytes: 16384 });
  const transfer = reader.read(from.grant([1, 2, 3]), to, [1, 2, 3], { transports: [TRANSPORT] });
  while (reader.faultReports().length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
`;
const threads = `readdirSync('/proc/self/task').filter((task) => readFileSync('/proc/self/task/' + task + '/comm', 'utf8').startsWith('kv-transfer')).length`;

async function outcome(script: string): Promise<{ code: number | null; signal: string | null; out: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  child.stdout.on('data', (bytes: Buffer) => (out += bytes));
  child.stderr.on('data', (bytes: Buffer) => (out += bytes));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, out };
}

describe.each(['shm', 'uds'])('with a stalled read over %s', (transport) => {
  const setUp = underWay.replace('TRANSPORT', `'${transport}'`);

  test('process.exit ends at once, in order', async () => {
    expect(await outcome(`${setUp} process.exit(7);`)).toEqual({ code: 7, signal: null, out: '' });
  });

  test('so does an exception that nobody catches', async () => {
    const { code, signal, out } = await outcome(`${setUp} setTimeout(() => { throw new Error('boom'); });  await transfer.done;`);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(out).toMatch(/boom/);
  });

  test('a worker thread that is terminated leaves no thread behind, and others can start', async () => {
    const script = `
      import { Worker } from 'node:worker_threads';
      import { readdirSync, readFileSync } from 'node:fs';
      for (let round = 0; round < 3; round++) {
        const body = ${JSON.stringify(`(async () => { ${setUp} require('node:worker_threads').parentPort.postMessage('ready'); })()`)};
        const worker = new Worker(body, { eval: true, execArgv: [] });
        await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
        await worker.terminate();
      }
      console.log(${threads});
    `;
    expect(await outcome(script)).toEqual({ code: 0, signal: null, out: '0\n' });
  });
});

test('an agent without transfers does not keep the process alive', async () => {
  const script = `${underWay.split('const reader')[0]} owner.createPool({ blocks: 1, blockBytes: 4096 });`;
  expect(await outcome(script)).toEqual({ code: 0, signal: null, out: '' });
});
