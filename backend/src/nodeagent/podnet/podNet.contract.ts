import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addressPlan } from './addressPlan.ts';
import { readExitRecord, exitRecordFile } from './exitRecord.ts';
import type { PodNet, PodSandbox } from './podNet.ts';
import { PodStartError } from './podNetError.ts';
import { call, eventually, pod, programOf, run, startGreeter, textOf } from './podNetTesting.ts';
import { allPids, isAlive } from './processStat.ts';

export interface PodNetContract {
  driver: PodNet['driver'];
  /** A driver that keeps its state in `dir`; called again for the same folder it is the next agent's. */
  make: (dir: string) => PodNet;
}

const deadline = (): AbortSignal => AbortSignal.timeout(10_000);

/** The one suite both drivers pass. */
export function describePodNet({ driver, make }: PodNetContract): void {
  describe(`pod network: ${driver}`, () => {
    let dir: string;
    let net: PodNet;
    let a: PodSandbox;
    let b: PodSandbox;

    beforeAll(async () => {
      dir = mkdtempSync(path.join(tmpdir(), `podnet-${driver}-`));
      net = make(path.join(dir, 'net'));
      await net.start(deadline());
      a = await net.createSandbox(pod('a'));
      b = await net.createSandbox(pod('b'));
    });

    afterAll(async () => {
      await net.close({ keepPods: false });
      rmSync(dir, { recursive: true, force: true });
    });

    test('every pod has an address of its own that is not loopback', async () => {
      expect(a.ip).toMatch(/^10\.244\./);
      expect(b.ip).toMatch(/^10\.244\./);
      expect(a.ip).not.toBe(b.ip);
      const seen: string[] = [];
      const listener = await net.listen('10.96.7.7', 80, (socket) => {
        seen.push((socket as unknown as { remoteAddress: string }).remoteAddress);
        socket.end('hello');
      });
      const own = `const c = require('net').connect(80, '10.96.7.7', () => console.log(c.localAddress)); c.resume()`;
      expect((await run(a, programOf(['node', '-e', own]))).stdout.trim().replace('::ffff:', '')).toBe(a.ip);
      await listener[Symbol.asyncDispose]();
      expect(seen).toEqual([a.ip]);
      expect(await call(a, '10.96.7.7', 80)).toBe('ECONNREFUSED');
    });

    test('two pods listen on 0.0.0.0:8000 and on [::]:8001; pods reach each other and only their own localhost', async () => {
      const servers = [
        await startGreeter(a, 'a', [8000, '0.0.0.0'], dir),
        await startGreeter(b, 'b', [8000, '0.0.0.0'], dir),
        await startGreeter(a, 'a6', [8001], dir),
        await startGreeter(b, 'b6', [8001], dir),
        await startGreeter(a, 'a-local', [8002, '127.0.0.1'], dir),
        await startGreeter(b, 'b-local', [8002, '127.0.0.1'], dir),
      ];
      for (const [sandbox, port] of [
        [a, 8000],
        [b, 8000],
        [a, 8001],
        [b, 8001],
        [a, 8002],
        [b, 8002],
      ] as const) {
        await eventually(async () => (await sandbox.dialLocal(port, deadline())).destroy(), `a server on ${port}`);
      }
      expect(await call(a, b.ip, 8000)).toBe(`b saw ${a.ip}`);
      expect(await call(b, a.ip, 8000)).toBe(`a saw ${b.ip}`);
      expect(await call(b, a.ip, 8001)).toBe(`a6 saw ${b.ip}`);
      expect(await call(a, '127.0.0.1', 8000)).toMatch(/^a saw /);
      expect(await call(b, 'localhost', 8000)).toMatch(/^b saw /);
      expect(await call(b, '127.0.0.1', 8002)).toMatch(/^b-local saw /);
      expect(await textOf(await a.dialLocal(8002, deadline()))).toMatch(/^a-local saw /);
      expect(await textOf(await net.dial(a.ip, 8000, deadline()))).toBe(`a saw ${addressPlan.podGateway}\n`);
      for (const server of servers) server.kill('SIGTERM');
      for (const server of servers) expect(await server.exited).toEqual({ exitCode: 143, signal: 15 });
      await expect(net.dial(a.ip, 8000, deadline())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    test('an aborted dial rejects with the reason', async () => {
      const controller = new AbortController();
      const dialled = net.dial('10.244.200.200', 1, controller.signal);
      controller.abort(new Error('changed my mind'));
      await expect(dialled).rejects.toThrow(/changed my mind|ECONNREFUSED|EHOSTUNREACH/);
    });

    test('programs get arguments, environment, directory, stdin; their output and exit codes come back', async () => {
      const spec = programOf(
        ['sh', '-c', 'read line; echo "$line $GREETING $0 $1"; pwd; env | grep -c ^USER= ; echo bad >/dev/stderr; exit 3', 'zero', 'one'],
        {
          cwd: '/usr',
          stdin: true,
        },
      );
      const started = await a.spawn({ ...spec, env: { ...spec.env, GREETING: 'hi' } });
      started.stdin?.end('first\nsecond\n');
      const [stdout, stderr] = await Promise.all([textOf(started.stdout), textOf(started.stderr)]);
      expect(stdout).toBe('first hi zero one\n/usr\n0\n');
      expect(stderr).toBe('bad\n');
      expect(await started.exited).toEqual({ exitCode: 3 });
    });

    test('without stdin a program reads end of file; a directory that is missing is made', async () => {
      expect(await run(a, programOf(['sh', '-c', 'cat; pwd'], { cwd: '/workspace/sub' }))).toMatchObject({
        stdout: expect.stringMatching(/\/workspace\/sub\n$/),
        exitCode: 0,
      });
    });

    test('signals reach the program and end it with 128 + n; a handler may choose its own code', async () => {
      const killed = await a.spawn(programOf(['sleep', '1000']));
      killed.kill('SIGKILL');
      expect(await killed.exited).toEqual({ exitCode: 137, signal: 9 });
      const polite = await a.spawn(
        programOf(['node', '-e', `process.on('SIGTERM', () => process.exit(5)); setInterval(() => {}, 1000); console.log('ready')`]),
      );
      await new Promise((resolve) => polite.stdout?.once('data', resolve));
      polite.kill('SIGTERM');
      expect(await polite.exited).toEqual({ exitCode: 5 });
      polite.kill('SIGTERM'); // of one that has ended: no effect
    });

    test("what cannot be started is said in the runtime's words", async () => {
      await expect(a.spawn(programOf(['no-such-program']))).rejects.toThrow('exec: "no-such-program": executable file not found in $PATH');
      await expect(a.spawn(programOf(['no-such-program']))).rejects.toMatchObject({ name: 'PodStartError', code: 'PROGRAM_NOT_FOUND' });
      await expect(a.spawn(programOf(['/etc']))).rejects.toBeInstanceOf(PodStartError);
    });

    test('a terminal: size, resize, one stream, hang-up', async () => {
      const script = `const w = () => console.log(process.stdout.isTTY, process.stdout.columns, process.stdout.rows); w(); process.stdout.on('resize', () => { w(); process.exit(0) }); process.stdin.resume()`;
      const started = await a.spawn(programOf(['node', '-e', script], { tty: { columns: 91, rows: 23 } }));
      let text = '';
      started.stdout?.on('data', (chunk) => (text += String(chunk)));
      await eventually(() => text.includes('true 91 23'), 'the size of the terminal');
      started.resize?.(100, 40);
      await started.exited;
      await eventually(() => text.includes('true 100 40'), 'the new size');
      const shell = await a.spawn(programOf(['sh'], { tty: { columns: 80, rows: 24 }, stdin: true }));
      shell.stdin?.write('echo $((6*7)); exit 4\n');
      expect(await textOf(shell.stdout)).toMatch(/42\r\n/);
      expect(await shell.exited).toEqual({ exitCode: 4 });
    });

    test('a terminal whose size is still told while its program ends', async () => {
      const shell = await a.spawn(programOf(['sh'], { tty: { columns: 80, rows: 24 }, stdin: true }));
      shell.stdout?.resume();
      let ended = false;
      void shell.exited.then(() => (ended = true));
      shell.stdin?.write('exit 4\n');
      for (let turn = 0, more = 5; more > 0; turn++, more -= Number(ended)) {
        shell.resize?.(80 + (turn % 40), 24);
        await sleep(1);
      }
      expect(await shell.exited).toEqual({ exitCode: 4 });
    });

    test("mounts: files and folders, in order; an exec shares the container's view", async () => {
      const volume = path.join(dir, 'volume');
      mkdirSync(path.join(volume, 'inner'), { recursive: true });
      writeFileSync(path.join(volume, 'inner', 'file'), 'from the host');
      writeFileSync(path.join(dir, 'single'), 'single file');
      const mounts = [
        { source: volume, target: '/data' },
        { source: path.join(dir, 'single'), target: '/data/inner/single', readOnly: true },
      ];
      const script = `cat ${a.pathOf('/data/inner/file', mounts)}; cat ${a.pathOf('/data/inner/single', mounts)}; echo back > ${a.pathOf('/data/out', mounts)}`;
      expect(await run(a, programOf(['sh', '-c', script], { mounts }))).toMatchObject({ stdout: 'from the hostsingle file', stderr: '', exitCode: 0 });
      expect(readFileSync(path.join(volume, 'out'), 'utf8')).toBe('back\n');
      // Arguments that name a mount mean the mount with both drivers.
      expect((await run(a, programOf(['cat', '/data/inner/file'], { mounts }))).stdout).toBe('from the host');
      const container = await a.spawn(programOf(['sleep', '1000'], { mounts }));
      expect((await run(a, programOf(['cat', '/data/inner/file'], { mounts, container }))).stdout).toBe('from the host');
      container.kill('SIGKILL');
      await container.exited;
      await expect(a.spawn(programOf(['true'], { container }))).rejects.toThrow('container not running');
    });

    test('when the program ends, what it started in the background ends too', async () => {
      const started = await a.spawn(programOf(['sh', '-c', 'setsid sleep 98765 & sleep 98765 & echo $!; sleep 0.1; exit 0']));
      await textOf(started.stdout);
      await started.exited;
      await eventually(() => !processesNamed('sleep\u000098765'), 'the end of background programs');
    });

    test('20 MB pass byte by byte through stdin and stdout', async () => {
      const content = randomBytes(20_000_000);
      const started = await a.spawn(programOf(['cat'], { stdin: true }));
      started.stdin?.end(content);
      const hash = createHash('sha256');
      for await (const chunk of started.stdout ?? []) hash.update(chunk as Buffer);
      expect(hash.digest('hex')).toBe(createHash('sha256').update(content).digest('hex'));
    });

    test("an exec ends with its caller's stdin and leaves the container alone", async () => {
      const container = await a.spawn(programOf(['sleep', '1000']));
      const exec = await a.spawn(programOf(['cat'], { container, stdin: true }));
      exec.stdin?.end('x');
      expect(await textOf(exec.stdout)).toBe('x');
      expect(await exec.exited).toEqual({ exitCode: 0 });
      expect(isAlive(container)).toBe(true);
      container.kill('SIGTERM');
      expect(await container.exited).toEqual({ exitCode: 143, signal: 15 });
    });

    test('a detached program writes to its files and leaves an exit record', async () => {
      const stdoutFile = path.join(dir, 'out.log');
      const stderrFile = path.join(dir, 'err.log');
      const started = await a.spawn(programOf(['sh', '-c', 'echo out; echo err >&2; exit 9'], { detached: { stdoutFile, stderrFile } }));
      expect(await started.exited).toEqual({ exitCode: 9 });
      expect(readFileSync(stdoutFile, 'utf8')).toBe('out\n');
      expect(readFileSync(stderrFile, 'utf8')).toBe('err\n');
      const record = readExitRecord(exitRecordFile(stdoutFile));
      expect(record).toMatchObject({ exitCode: 9 });
      expect(Math.abs(Date.parse(record?.finishedAt ?? '') - Date.now())).toBeLessThan(60_000);
    });

    test('destroying a pod ends all its programs and leaves nothing', async () => {
      const doomed = await net.createSandbox(pod('doomed'));
      const log = path.join(dir, 'doomed.log');
      const one = await startGreeter(doomed, 'doomed', [8000], dir);
      const two = await doomed.spawn(
        programOf(['sh', '-c', 'trap "" TERM; setsid sh -c "while :; do sleep 1; done" & while :; do sleep 1; done'], {
          detached: { stdoutFile: log, stderrFile: log },
        }),
      );
      const exec = await doomed.spawn(programOf(['sleep', '1000'], { container: one }));
      await doomed.destroy();
      expect([one, two, exec].map((each) => isAlive(each))).toEqual([false, false, false]);
      expect(await two.exited).toEqual({ exitCode: 137, signal: 9 });
      await expect(net.dial(doomed.ip, 8000, AbortSignal.timeout(500))).rejects.toThrow();
      expect(await net.recoverSandbox(pod('doomed'))).toBeUndefined();
      expect(processesNamed('/uid-doomed')).toBe(false);
      await expect(doomed.spawn(programOf(['true']))).rejects.toThrow(/gone/);
      await doomed.destroy();
    });

    test('sweep ends what is not to be kept', async () => {
      const stray = await net.createSandbox(pod('stray'));
      const running = await startGreeter(stray, 'stray', [8000], dir);
      await net.sweep(new Set(['uid-a', 'uid-b']));
      expect(isAlive(running)).toBe(false);
      expect((await run(a, programOf(['echo', 'still here']))).stdout).toBe('still here\n');
    });
  });
}

/** True if a process of the machine has `part` in its command line (words are separated by NUL). */
function processesNamed(part: string): boolean {
  return allPids().some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(part);
    } catch {
      return false;
    }
  });
}
