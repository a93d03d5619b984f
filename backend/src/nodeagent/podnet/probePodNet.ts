import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PodNet } from './podNet.ts';

/** Longest time a probe may take. */
const probeDeadlineMs = 15_000;

/**
 * Uses a driver for real in a folder of its own: a network, a sandbox, a program in it, a listening address, a connection
 * to it from the pod. Resolves with `undefined` if all that works, else with the reason in words.
 */
export async function probePodNet(make: (dir: string) => PodNet): Promise<string | undefined> {
  const dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-probe-'));
  const podNet = make(dir);
  try {
    await podNet.start(AbortSignal.timeout(probeDeadlineMs));
    const sandbox = await podNet.createSandbox({ uid: 'probe', namespace: 'default', name: 'probe', nodeName: 'probe' });
    const ran = await sandbox.spawn({ argv: ['sh', '-c', 'exit 7'], env: {}, cwd: '/', mounts: [] });
    const { exitCode } = await ran.exited;
    if (exitCode !== 7) return `a program in a sandbox ended with ${exitCode} instead of 7`;
    await podNet.listen('10.96.0.10', 53, (socket) => socket.end('x'));
    const socket = await podNet.dial('10.96.0.10', 53, AbortSignal.timeout(probeDeadlineMs));
    socket.destroy();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    await podNet.close({ keepPods: false }).catch(() => {});
    rmSync(dir, { recursive: true, force: true });
  }
}
