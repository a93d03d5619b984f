import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { buildKit } from '../labs/kit/build.mjs';
import { installKernel } from '../labs/kernel/install.mjs';
import { failingReport, passingReport } from './support/courseFixture.ts';
import { FakeBackend, startFakeFrontend } from './support/fakeBackend.ts';
import { KernelClient } from './support/kernelClient.ts';

let home: string;
let backend: FakeBackend;
let frontend: AsyncDisposable & { url: string };
let kernel: KernelClient;

/** The notebook's folder lies outside the project, as a learner's does. */
beforeAll(async () => {
  buildKit();
  home = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-kit-'));
  const work = path.join(home, 'work', '03-kv-aware-routing');
  const bin = path.join(home, 'bin');
  await mkdir(work, { recursive: true });
  await mkdir(bin);
  await writeFile(path.join(bin, 'kubectl'), kubectl);
  await chmod(path.join(bin, 'kubectl'), 0o755);
  backend = await FakeBackend.start(home);
  frontend = await startFakeFrontend('KV blocks are reused.');
  const env = { DYNAMO_LABS_HOME: home, PATH: `${bin}:${process.env['PATH']}` };
  kernel = await KernelClient.start({ kernelJson: installKernel({ prefix: home }).file, cwd: work, env });
  const imported = await kernel.execute("import { chat, display, k8s, KitError, lab, router, sh, show } from '@dynamo-labs/kit';");
  expect(imported.error).toBeUndefined();
});

afterAll(async () => {
  await kernel?.[Symbol.asyncDispose]();
  await frontend?.[Symbol.asyncDispose]();
  await backend?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

/** Records its arguments and answers like kubectl. */
const kubectl = `#!/bin/bash
case "$1 $*" in
  apply*) cat >/dev/null; echo "pod/debug created";;
  *"-o json"*) cat >/dev/null <&0; echo '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"debug"}}]}';;
  wait*) echo "error: timed out waiting for the condition" >&2; exit 1;;
  *) echo "kubectl $*";;
esac
`;

test('a wrong use of the kit is a type error in the notebook', async () => {
  expect((await kernel.execute("lab.step('03-kv-aware-routing');")).error?.evalue).toContain('Expected 2 arguments');
  expect((await kernel.execute("const r = await lab.step('a', 'b').check(); const n: number = r.verdict;")).error?.evalue).toContain(
    "is not assignable to type 'number'",
  );
});

test('a check shows each assertion with what was expected and observed', async () => {
  backend.outcomes.set('deploy', [failingReport('03-kv-aware-routing', 'deploy'), passingReport('03-kv-aware-routing', 'deploy')]);
  const failed = await kernel.execute("const deploy = lab.step('03-kv-aware-routing', 'deploy');\nawait deploy.check()");
  expect(failed.error).toBeUndefined();
  const [bundle] = failed.displays;
  expect(bundle!['text/plain']).toMatch(/✗ Not yet: deploy \(1 of 3 assertions hold\)/);
  expect(bundle!['text/plain']).toContain('observed  1 ready worker; the other waits in ImagePullBackOff');
  expect(bundle!['text/html']).toContain('<details open');
  expect((await kernel.execute('await deploy.check()')).displays[0]!['text/plain']).toMatch(/✓ Passed/);
  expect((await kernel.execute('console.log((await deploy.status()).state)')).stdout).toBe('passed\n');
});

test('markup in observed text stays text', async () => {
  const report = failingReport('03-kv-aware-routing', 'cost');
  report.assertions[1]!.observed = '<img src=x onerror=alert(1)>';
  backend.outcomes.set('cost', [report]);
  const [bundle] = (await kernel.execute("await lab.step('03-kv-aware-routing', 'cost').check()")).displays;
  expect(bundle!['text/html']).not.toContain('<img');
  expect(bundle!['text/plain']).toContain('<img src=x');
});

test('hints come one by one; an unknown step names itself', async () => {
  expect((await kernel.execute("await lab.step('03-kv-aware-routing', 'nats').hint()")).displays[0]!['text/plain']).toContain('Hint 1 of 3');
  expect((await kernel.execute("await lab.step('03-kv-aware-routing', 'nats').hint()")).displays[0]!['text/plain']).toContain('Hint 2 of 3');
  expect((await kernel.execute("await lab.step('03-kv-aware-routing', 'nope').check()")).error).toMatchObject({
    ename: 'KitError',
    evalue: expect.stringContaining('there is no step'),
  });
});

test('an answer is handed in under its name', async () => {
  expect((await kernel.execute("await lab.step('03-kv-aware-routing', 'cost').answer('cost', 6.5)")).displays[0]!['text/plain']).toBe('Handed in\ncost = 6.5');
  expect(backend.answers).toEqual({ cost: 6.5 });
});

test('sh prints as it runs, returns what it printed, and fails with the exit code', async () => {
  const ok = await kernel.execute('const listing = await sh("echo out; echo err >&2; cat", { input: "in" });\nconsole.log(listing.stdout.length);');
  expect(ok).toMatchObject({ stdout: 'out\nin6\n', stderr: 'err\n' });
  expect((await kernel.execute('await sh("exit 3")')).error).toMatchObject({ ename: 'ShellError', evalue: expect.stringContaining('exit code 3') });
  expect((await kernel.execute('await sh("false | true")')).error?.ename).toBe('ShellError');
  expect((await kernel.execute('await sh("echo once")')).published.filter((m) => m.header.msg_type !== 'status')).toHaveLength(2);
});

test('k8s applies, lists, and reports what kubectl said', async () => {
  const applied = await kernel.execute('const [pod] = await k8s.apply("kind: Pod");\nconsole.log(pod?.metadata.name);');
  expect(applied.stdout).toBe('pod/debug created\ndebug\n');
  expect((await kernel.execute('await k8s.apply("kind: Pod")')).stdout).toBe('pod/debug created\n');
  expect((await kernel.execute("console.log((await k8s.list('pods', { namespace: 'dynamo-cloud', selector: 'app=x' })).length)")).stdout).toBe('1\n');
  expect((await kernel.execute("await k8s.wait('pod/debug', { for: 'condition=Ready', timeoutSeconds: 1 })")).error?.evalue).toContain(
    'timed out waiting for the condition',
  );
  expect((await kernel.execute("await k8s.delete('pod')")).error?.evalue).toContain('needs a name');
});

test('chat streams the answer and returns usage, request id and time to first token', async () => {
  const code = `const answer = await chat({ frontend: '${frontend.url}', model: 'm', prompt: 'Why?', requestId: 'req-48' });\nanswer`;
  const { stdout, displays } = await kernel.execute(code);
  expect(stdout).toBe('KV blocks are reused.\n');
  expect(displays[0]!['text/plain']).toMatch(/96 prompt tokens \(80 cached\), 4 answered, first token after \d+ ms, request req-48/);
  expect((await kernel.execute(`await chat({ frontend: '${frontend.url}', model: 'unknown', prompt: 'x' })`)).error?.evalue).toContain(
    'model `unknown` is not served',
  );
  expect((await kernel.execute("await chat({ frontend: 'http://127.0.0.1:9', model: 'm', prompt: 'x' })")).error?.evalue).toContain('Nobody answers');
});

test('router.decision explains a request; an unknown one is an error', async () => {
  const { displays } = await kernel.execute('const why = await router.decision(answer.requestId);\nwhy');
  expect(displays[0]!['text/plain']).toContain('holds 10 of the 12 blocks');
  expect(displays[0]!['text/html']).toContain('<table');
  expect((await kernel.execute('console.log(why.decision.outcome?.computed_tokens)')).stdout).toContain('40');
  expect((await kernel.execute("await router.decision('no-such', { deadlineMs: 300 })")).error?.evalue).toContain('No router has a decision');
});

test('show draws the topology with a text form, and tables', async () => {
  const [topology] = (await kernel.execute('await show.topology()')).displays;
  expect(topology!['text/plain']).toContain('ImagePullBackOff');
  expect(topology!['text/html']).toContain('<svg');
  expect(topology!['image/svg+xml']).not.toContain('var(');
  const [table] = (await kernel.execute("show.table([{ worker: 'a', blocks: 10 }, { worker: 'b', blocks: 0 }], 'Overlap')")).displays;
  expect(table!['text/plain']).toBe('Overlap\nworker  blocks\na           10\nb            0');
  expect((await kernel.execute("display(show.table([{ a: 1 }]));\nconsole.log('after')")).displays).toHaveLength(1);
});

test('a backend that is down is named, and found again when it is back', async () => {
  await backend[Symbol.asyncDispose]();
  expect((await kernel.execute('await show.topology()')).error).toMatchObject({ ename: 'KitError', evalue: expect.stringContaining('npm start') });
  backend = await FakeBackend.start(home);
  expect((await kernel.execute('await show.topology()')).error).toBeUndefined();
});
