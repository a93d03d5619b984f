import { spawn } from 'node:child_process';
import { PodNetError } from '../podNetError.ts';
import { processStat } from '../processStat.ts';

export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

/** Longest wait for a podinit command that only talks to the kernel. */
const commandDeadlineMs = 15_000;

/**
 * Starts `podinit <args>` in a session of its own and resolves with the words of its first output line (`ready …`).
 * The process may go on; it does not keep this one alive.
 */
export async function startPodinit(program: string, args: string[], signal: AbortSignal): Promise<{ pid: number; words: string[] }> {
  const child = spawn(program, args, { detached: true, cwd: '/', env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(commandDeadlineMs)]);
  let complaint = '';
  let output = '';
  child.stderr.on('data', (text) => (complaint += String(text)));
  try {
    const words = await new Promise<string[]>((resolve, reject) => {
      const refuse = (why: string, cause?: unknown): void => reject(new PodNetError('PODNET_UNAVAILABLE', `podinit ${args[0]}: ${why}`, { cause }));
      deadline.addEventListener('abort', () => refuse('no answer', deadline.reason), { once: true });
      child.once('error', (cause) => refuse(cause.message, cause));
      child.stdout.on('data', (text) => {
        output += String(text);
        if (output.includes('\n')) resolve((output.split('\n')[0] ?? '').split(' '));
      });
      child.once('close', (code, name) => refuse(complaint.trim().replace(/^error /, '') || `ended with ${name ?? `code ${code}`}`));
    });
    return { pid: child.pid as number, words };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    child.unref();
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** Starts the process that holds the cluster's user and network namespaces. */
export async function startOwner(program: string, marker: string, signal: AbortSignal): Promise<ProcessIdentity> {
  const { pid } = await startPodinit(program, ['owner', marker], signal);
  const stat = processStat(pid);
  if (stat === undefined) throw new PodNetError('PODNET_HELPER_FAILED', 'podinit owner ended at once');
  return { pid, startTime: stat.startTime };
}
