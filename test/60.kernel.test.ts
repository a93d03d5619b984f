import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { languageInfo } from '../labs/kernel/languageInfo.ts';
import { installKernel } from '../labs/kernel/install.mjs';
import { KernelClient } from './support/kernelClient.ts';

let folder: string;
let kernelJson: string;
let kernel: KernelClient;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-kernel-'));
  kernelJson = installKernel({ prefix: folder }).file;
  kernel = await KernelClient.start({ kernelJson, cwd: folder });
});

afterAll(async () => {
  await kernel?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test('install writes the kernelspec once and leaves an equal one alone', async () => {
  expect(installKernel({ prefix: folder }).changed).toBe(false);
  const spec = JSON.parse(await readFile(kernelJson, 'utf8'));
  expect(spec).toMatchObject({ language: 'typescript', interrupt_mode: 'signal' });
  expect(path.isAbsolute(spec.argv[0])).toBe(true);
});

test('more than 512 outputs in one tick all arrive, in few messages, and the cell ends', async () => {
  const lines = await kernel.execute('for (let i = 0; i < 200_000; i++) console.log(i);');
  expect(lines.stdout.split('\n')).toHaveLength(200_001);
  expect(lines.stdout.endsWith('199999\n')).toBe(true);
  expect(lines.published.length).toBeLessThan(2000);

  const displays = await kernel.execute("import { display } from 'tslab';\nfor (let i = 0; i < 3000; i++) display.text(`d${i}`);");
  expect(displays.displays).toHaveLength(3000);
  expect(displays.displays.at(-1)).toEqual({ 'text/plain': 'd2999' });
});

test('requests sent before an error are aborted; one sent right after seeing it runs', async () => {
  const failing = kernel.execute("throw new Error('first');");
  const queued = [kernel.execute("console.log('never 1')"), kernel.execute("console.log('never 2')")];
  expect((await failing).reply.content['status']).toBe('error');
  const after = kernel.execute("console.log('runs')");
  for (const cell of await Promise.all(queued)) {
    expect(cell.reply.content['status']).toBe('aborted');
    expect(cell.stdout).toBe('');
  }
  expect(await after).toMatchObject({ stdout: 'runs\n', reply: { content: { status: 'ok' } } });
});

test('stop_on_error: false lets queued requests run', async () => {
  const failing = kernel.execute('await Promise.reject(new Error("x"));', { stopOnError: false });
  const queued = kernel.execute("console.log('still runs')");
  expect((await failing).reply.content['status']).toBe('error');
  expect((await queued).stdout).toBe('still runs\n');
});

test('a thrown error carries ename, evalue and a traceback without the kernel’s own frames', async () => {
  const { reply, error, stderr } = await kernel.execute('function route(): never { throw new RangeError("no worker"); }\nroute();');
  expect(error).toMatchObject({ ename: 'RangeError', evalue: 'no worker' });
  expect(reply.content).toMatchObject({ status: 'error', ename: 'RangeError', evalue: 'no worker' });
  const text = error!.traceback.join('\n');
  expect(text).toContain('at route (cell)');
  expect(text).not.toMatch(/tslab|node:vm|evalmachine|labs\/kernel/);
  expect(stderr).toBe('');
});

test('a thrown value that is no Error is still an error', async () => {
  expect((await kernel.execute('throw { code: 7 };')).error).toMatchObject({ ename: 'Error', traceback: [expect.stringContaining('code: 7')] });
  expect((await kernel.execute("await Promise.reject(new Error('outer', { cause: new Error('inner') }));")).error!.traceback.join()).toContain(
    'caused by Error: inner',
  );
});

test('a type error shows its place, the line and a marker', async () => {
  const { error } = await kernel.execute("const fine = 1;\nconst blocks: number = 'sixteen';");
  expect(error).toMatchObject({ ename: 'TypeScriptError', evalue: expect.stringMatching(/^2:7 Type 'string' is not assignable to type 'number'/) });
  expect(error!.traceback.join('\n')).toMatch(/const blocks: number = 'sixteen';/);
});

test.each([
  ['await of a parenthesised expression', 'const a = await (Promise.resolve(3));\nconsole.log(a + 1);', '4\n'],
  ['for await', 'for await (const v of [Promise.resolve(1), 2]) console.log(v);', '1\n2\n'],
  ['await as the last expression', 'await Promise.resolve("value")', 'value\n'],
  ['await in a loop', 'let sum = 0;\nfor (const p of [1, 2]) sum += await Promise.resolve(p);\nsum', '\u001b[33m3\u001b[39m\n'],
])('top-level %s', async (_name, code, stdout) => {
  expect(await kernel.execute(code)).toMatchObject({ stdout, reply: { content: { status: 'ok' } } });
});

test('the awaited value of a parenthesised expression keeps its type', async () => {
  expect((await kernel.execute('const port = await (Promise.resolve(3));\nconst text: string = port;')).error?.evalue).toContain("'number' is not assignable");
});

test('checking is strict', async () => {
  expect((await kernel.execute('const n: number = null;')).error?.evalue).toContain("Type 'null' is not assignable to type 'number'");
  expect((await kernel.execute('function f(x) { return x; }')).error?.evalue).toContain("implicitly has an 'any' type");
});

test('packages with `exports` maps and subpaths type-check and load', async () => {
  const shapes = path.join(folder, 'node_modules', 'shapes');
  await mkdir(shapes, { recursive: true });
  const files = {
    'package.json': JSON.stringify({ name: 'shapes', exports: { './area': { types: './area.d.ts', default: './area.js' } } }),
    'area.d.ts': 'export declare function area(side: number): number;',
    'area.js': 'exports.area = (side) => side * side;',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(shapes, name), text);
  const code = "import { area } from 'shapes/area';\nimport { setTimeout as sleep } from 'node:timers/promises';\nawait sleep(1);\nconsole.log(area(4));";
  expect(await kernel.execute(code)).toMatchObject({ stdout: '16\n', reply: { content: { status: 'ok' } } });
  expect((await kernel.execute("import { area } from 'shapes/area';\narea('four');")).error?.ename).toBe('TypeScriptError');
});

test('files that appear and change beside the notebook are seen, and break nothing', async () => {
  const file = path.join(folder, 'budget.ts');
  await kernel.execute("import { budget } from './budget';");
  for (const value of [1, 2, 3]) {
    await writeFile(file, `export const budget = ${value};`);
    await writeFile(path.join(folder, `manifest-${value}.yaml`), 'kind: Pod');
    await expect
      .poll(async () => (await kernel.execute("import { budget } from './budget';\nconsole.log(budget);")).stdout, { timeout: 20_000 })
      .toBe(`${value}\n`);
  }
});

test('names of earlier cells live on', async () => {
  await kernel.execute('const shared = { hits: 1 };\ninterface Row { id: string }');
  expect(await kernel.execute('shared.hits += 1;\nconst row: Row = { id: String(shared.hits) };\nconsole.log(row.id);')).toMatchObject({ stdout: '2\n' });
});

test.each([
  ['an object literal', 'console.log({ workers, mode });', "{ workers: 2, mode: 'kv' }"],
  ['a function', 'const f = () => ({ workers });\nconsole.log(f());', '{ workers: 2 }'],
  ['a parameter of the same name', 'const g = (workers: string) => ({ workers });\nconsole.log(g("own"));', "{ workers: 'own' }"],
  ['an assignment pattern', '({ mode } = { mode: "random" });\nconsole.log(mode);', 'random'],
  ['the last expression', '({ workers })', '{ workers: \u001b[33m2\u001b[39m }'],
])('names of earlier cells work as shorthand properties: %s', async (_name, code, text) => {
  await kernel.execute("const workers = 2;\nlet mode = 'kv';");
  expect(await kernel.execute(code)).toMatchObject({ stdout: `${text}\n`, reply: { content: { status: 'ok' } } });
});

test('late output belongs to the cell that caused it', async () => {
  const first = await kernel.execute("setTimeout(() => console.log('late'), 150); console.log('now');");
  const second = await kernel.execute('await new Promise((r) => setTimeout(r, 400));\nconsole.log("second");');
  expect(second.stdout).toBe('second\n');
  expect(first.published.filter((m) => m.header.msg_type === 'stream').map((m) => m.content['text'])).toEqual(['now\n', 'late\n']);
});

test('an object with Jupyter.display as last expression becomes a MIME bundle', async () => {
  const { displays } = await kernel.execute("({ [Symbol.for('Jupyter.display')]: () => ({ 'text/html': '<b>x</b>', 'text/plain': 'x' }) })");
  expect(displays).toEqual([{ 'text/html': '<b>x</b>', 'text/plain': 'x' }]);
});

test('kernel_info, comm_info, history, completion and inspection answer as the protocol says', async () => {
  const info = (await kernel.request('kernel_info_request', {})).reply;
  expect(info.header.msg_type).toBe('kernel_info_reply');
  expect(info.content).toMatchObject({
    status: 'ok',
    protocol_version: '5.3',
    implementation: 'tslab',
    implementation_version: '1.0.22',
    language_info: languageInfo,
  });
  // The constant is the truth about the pinned compiler.
  expect((await kernel.execute("import { versions } from 'tslab';\nconsole.log(versions.typescript);")).stdout).toBe(`${languageInfo.version}\n`);
  expect((await kernel.request('comm_info_request', {})).reply).toMatchObject({
    header: { msg_type: 'comm_info_reply' },
    content: { status: 'ok', comms: {} },
  });
  expect((await kernel.request('history_request', {})).reply).toMatchObject({ header: { msg_type: 'history_reply' }, content: { status: 'ok', history: [] } });
  const completion = (await kernel.request('complete_request', { code: 'Math.ab', cursor_pos: 7 })).reply.content;
  expect(completion).toMatchObject({ status: 'ok', matches: expect.arrayContaining(['abs']) });
  const inspection = (await kernel.request('inspect_request', { code: 'Math.abs', cursor_pos: 6, detail_level: 0 })).reply.content;
  expect(inspection).toMatchObject({ found: true, data: { 'text/plain': expect.stringContaining('abs') } });
});

test('an interrupt ends an endless loop and an endless await', async () => {
  for (const code of ["console.log('in'); while (true) {}", "await new Promise((r) => setTimeout(r, 50)); console.log('in'); await new Promise(() => {});"]) {
    const running = kernel.execute(code, {
      onPublished: ({ header }) => {
        if (header.msg_type === 'stream') kernel.process.kill('SIGINT');
      },
    });
    expect((await running).reply.content).toMatchObject({ status: 'error', evalue: expect.stringMatching(/interrupted/i) });
  }
  expect((await kernel.execute("console.log('alive')")).stdout).toBe('alive\n');
});

test('shutdown ends the process although the notebook left a timer', async () => {
  const own = await KernelClient.start({ kernelJson, cwd: folder });
  await own.execute('setInterval(() => {}, 1000);');
  const ended = once(own.process, 'exit');
  expect((await own.request('shutdown_request', { restart: false }, { control: true })).reply.content).toMatchObject({ status: 'ok' });
  expect((await ended)[0]).toBe(0);
  await own[Symbol.asyncDispose]();
});

test('a kernel whose parent is killed ends, even in an endless loop', async () => {
  const script = path.join(folder, 'parent.mjs');
  await writeFile(
    script,
    `import { KernelClient } from ${JSON.stringify(path.resolve('test/support/kernelClient.ts'))};
     const kernel = await KernelClient.start({ kernelJson: ${JSON.stringify(kernelJson)}, cwd: ${JSON.stringify(folder)} });
     void kernel.execute("while (true) {}");
     setTimeout(() => console.log(kernel.process.pid), 300);`,
  );
  const parent = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script], {
    cwd: process.cwd(),
    env: { ...process.env, TMPDIR: folder }, // what it leaves goes with it
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(String(line));
  expect(pid).toBeGreaterThan(1);
  parent.kill('SIGKILL');
  await expect.poll(() => isAlive(pid), { timeout: 20_000, interval: 200 }).toBe(false);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
