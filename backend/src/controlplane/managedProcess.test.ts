import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManagedProcess, type ProcessEvent } from './managedProcess.ts';
import { ProcessStartError } from './processError.ts';
import { isAlive, startTimeOf } from './processIdentity.ts';
import type { ProcessSpec } from './processSpec.ts';

describe('ManagedProcess', () => {
  let dir: string;
  let events: ProcessEvent[];
  let managed: ManagedProcess | undefined;
  const never = new AbortController().signal;
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-process-'));
    events = [];
  });
  afterEach(async () => {
    await managed?.stop();
    rmSync(dir, { recursive: true });
  });

  /** A shell script that says it is ready by making a file. */
  function script(text: string, options: Partial<ProcessSpec> = {}): ManagedProcess {
    const ready = path.join(dir, 'ready');
    const spec: ProcessSpec = {
      name: 'program',
      argv: ['/bin/sh', '-c', text],
      env: { PATH: process.env['PATH'] ?? '', READY: ready, DIR: dir },
      logFile: path.join(dir, 'program.log'),
      ports: [],
      stage: 0,
      prepare: async () => rmSync(ready, { force: true }),
      probe: async () => {
        if (!existsSync(ready)) throw new Error('no ready file');
      },
      readyTimeoutMs: 10_000,
      stopTimeoutMs: 5_000,
      ...options,
    };
    return (managed = new ManagedProcess(spec, (event) => events.push(event)));
  }

  it('is running once its probe succeeds, and gone after stop', async () => {
    const program = script('touch $READY; exec sleep 60');
    await program.start(never);
    expect(program.state).toBe('running');
    const { identity } = program;
    expect(identity).toBeDefined();
    await program.stop();
    expect(program.state).toBe('stopped');
    expect(identity !== undefined && isAlive(identity)).toBe(false);
  });

  it('fails a first start with the end of the log', async () => {
    const program = script('echo "listen tcp: address already in use" >&2; exit 3');
    const error = await program.start(never).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ProcessStartError);
    expect((error as Error).message).toMatch(/program ended with exit code 3 before it was ready[^]*address already in use/);
    expect(program.state).toBe('failed');
  });

  it('names a program that cannot be run', async () => {
    await expect(script('', { argv: [path.join(dir, 'missing')] }).start(never)).rejects.toThrow(/could not be run: .*ENOENT/);
  });

  it('gives up a program that never becomes ready, and ends it', async () => {
    const program = script('echo $$ > $DIR/pid; exec sleep 60', { readyTimeoutMs: 300 });
    await expect(program.start(never)).rejects.toThrow(/was not ready after 0 s \(no ready file\)/);
    expect(startTimeOf(Number(readFileSync(path.join(dir, 'pid'), 'utf8')))).toBeUndefined();
  });

  it('starts a program again that died, and tells', async () => {
    const program = script('touch $READY; exec sleep 60');
    await program.start(never);
    const first = program.identity?.pid ?? 0;
    process.kill(first, 'SIGKILL');
    await expect.poll(() => events.map((event) => event.type), { timeout: 10_000 }).toContain('recovered');
    expect(events.find((event) => event.type === 'died')).toMatchObject({ how: 'was ended by SIGKILL', retryInMs: 500 });
    expect(program.state).toBe('running');
    expect(program.restarts).toBe(1);
    expect(program.identity?.pid).not.toBe(first);
  });

  it('doubles the back-off of a program that dies again at once', async () => {
    const program = script('[ -e $DIR/second ] && exit 1; touch $DIR/second $READY; exec sleep 60');
    await program.start(never);
    process.kill(program.identity?.pid ?? 0, 'SIGKILL');
    await expect.poll(() => events.filter((event) => event.type === 'died').length, { timeout: 10_000 }).toBe(2);
    expect(events.filter((event) => event.type === 'died').map((event) => event.retryInMs)).toEqual([500, 1000]);
    expect(program.state).toBe('restarting');
  });

  it('kills a program that ignores SIGTERM, with the children it left in its group', async () => {
    const program = script('trap "" TERM; sleep 60 & echo $! > $DIR/child; touch $READY; while :; do sleep 1; done', { stopTimeoutMs: 300 });
    await program.start(never);
    const child = Number(readFileSync(path.join(dir, 'child'), 'utf8'));
    await program.stop();
    await expect.poll(() => startTimeOf(child)).toBeUndefined();
  });

  it('stops waiting when the signal is aborted', async () => {
    const abort = new AbortController();
    const started = script('exec sleep 60').start(abort.signal);
    abort.abort(new Error('no longer wanted'));
    await expect(started).rejects.toThrow('no longer wanted');
  });
});
