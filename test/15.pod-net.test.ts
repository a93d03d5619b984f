import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stateLayout } from '../backend/src/controlplane/stateLayout.ts';
import { endPods, exitRecordFile, isAlive, readExitRecord } from '../backend/src/nodeagent/podnet/index.ts';
import { describePodNet } from '../backend/src/nodeagent/podnet/podNet.contract.ts';
import { eventually, pod, textOf } from '../backend/src/nodeagent/podnet/podNetTesting.ts';
import type { PodNet } from '../backend/src/nodeagent/podnet/podNet.ts';
import { describePodServices } from '../backend/src/nodeagent/podnet/podServices.contract.ts';
import { buildPodinit } from '../native/podinit/build.mjs';
import { makePodNet } from './support/podNetDrivers.ts';

beforeAll(() => void buildPodinit());

interface Left {
  ip: string;
  survivor: { pid: number; startTime: number };
  ender: { pid: number; startTime: number };
}

/** Runs an agent until its pods run, and kills it. */
async function startDyingAgent(driver: PodNet['driver'], dir: string, logDir: string): Promise<Left> {
  const agent = spawn(process.execPath, [path.join(import.meta.dirname, 'support/dyingAgent.ts'), driver, dir, logDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const line = await new Promise<string>((resolve, reject) => {
    agent.stdout.once('data', (data) => resolve(String(data)));
    agent.once('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
  });
  agent.kill('SIGKILL');
  await new Promise((resolve) => agent.once('exit', resolve));
  return JSON.parse(line) as Left;
}

for (const driver of ['namespaces', 'loopback'] as const) {
  const make = (dir: string): PodNet => makePodNet(driver, dir);
  describePodNet({ driver, make });
  describePodServices({ driver, make });

  describe(`an agent that was killed: ${driver}`, () => {
    let dir: string;
    let logDir: string;
    let left: Left;
    let net: PodNet;

    beforeEach(async () => {
      dir = mkdtempSync(path.join(tmpdir(), `podadopt-${driver}-`));
      logDir = path.join(dir, 'logs');
      mkdirSync(logDir);
      left = await startDyingAgent(driver, path.join(dir, 'net'), logDir);
      net = make(path.join(dir, 'net'));
    });

    afterEach(async () => {
      await net.close({ keepPods: false });
      rmSync(dir, { recursive: true, force: true });
    });

    test('its pods run on and the next agent takes them over: network, signals, exit codes', async () => {
      expect(isAlive(left.survivor)).toBe(true);
      await net.start(AbortSignal.timeout(10_000));
      const sandbox = await net.recoverSandbox(pod('orphan'));
      expect(sandbox?.ip).toBe(left.ip);
      await eventually(() => readFileSync(path.join(logDir, 'survivor.log'), 'utf8').startsWith('started'), 'the program');
      expect(await textOf(await net.dial(left.ip, 8000, AbortSignal.timeout(3000)))).toBe('survivor');
      const survivor = await sandbox?.adopt(left.survivor.pid, left.survivor.startTime);
      const ender = await sandbox?.adopt(left.ender.pid, left.ender.startTime);
      const exec = await sandbox?.spawn({ argv: ['echo', 'inside'], env: { PATH: '/usr/bin:/bin' }, cwd: '/', mounts: [], container: left.survivor });
      expect(await textOf(exec?.stdout)).toBe('inside\n');
      survivor?.kill('SIGTERM');
      expect(await survivor?.exited).toMatchObject({ exitCode: 143, signal: 15, finishedAt: expect.any(String) });
      writeFileSync(path.join(logDir, 'go'), '');
      expect(await ender?.exited).toMatchObject({ exitCode: 6 });
      expect(await sandbox?.adopt(left.ender.pid, left.ender.startTime)).toBeUndefined();
      // A fresh pod does not get the address that is in use.
      expect((await net.createSandbox(pod('fresh'))).ip).not.toBe(left.ip);
    });

    test('a program that ended while there was no agent left its exit code', async () => {
      writeFileSync(path.join(logDir, 'go'), '');
      await eventually(() => !isAlive(left.ender), 'the end of the program');
      await net.start(AbortSignal.timeout(10_000));
      const sandbox = await net.recoverSandbox(pod('orphan'));
      expect(await sandbox?.adopt(left.ender.pid, left.ender.startTime)).toBeUndefined();
      expect(readExitRecord(exitRecordFile(path.join(logDir, 'ender.log')))).toMatchObject({ exitCode: 6 });
    });

    test('an adopted program that is killed ends with 137', async () => {
      await net.start(AbortSignal.timeout(10_000));
      const survivor = await (await net.recoverSandbox(pod('orphan')))?.adopt(left.survivor.pid, left.survivor.startTime);
      survivor?.kill('SIGKILL');
      expect(await survivor?.exited).toMatchObject({ exitCode: 137, signal: 9 });
    });

    test('without another agent, all of it can be ended', async () => {
      // The folder of a state folder, as the supervisor has it.
      const layout = stateLayout({ DYNAMO_LABS_HOME: path.join(dir, 'state'), HOME: dir });
      mkdirSync(layout.run, { recursive: true });
      const moved = path.join(layout.run, 'podnet');
      const agent = await startDyingAgent(driver, moved, logDir);
      expect(isAlive(agent.survivor)).toBe(true);
      expect(await endPods(layout)).toBeGreaterThan(0);
      expect([isAlive(agent.survivor), isAlive(agent.ender), existsSync(moved)]).toEqual([false, false, false]);
      expect(await endPods(layout)).toBe(0);
      // The other cluster's pods are none of its business.
      expect(isAlive(left.survivor)).toBe(true);
      await net.start(AbortSignal.timeout(10_000));
    });

    test('an agent that keeps the pods closes without them; sweep then ends them all', async () => {
      await net.start(AbortSignal.timeout(10_000));
      await net.close({ keepPods: true });
      await sleep(100);
      expect([isAlive(left.survivor), isAlive(left.ender)]).toEqual([true, true]);
      net = make(path.join(dir, 'net'));
      await net.start(AbortSignal.timeout(10_000));
      await net.sweep(new Set());
      expect([isAlive(left.survivor), isAlive(left.ender)]).toEqual([false, false]);
      expect(await net.recoverSandbox(pod('orphan'))).toBeUndefined();
    });
  });
}
