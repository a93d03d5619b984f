import { setTimeout as sleep } from 'node:timers/promises';
import type { PodProcess } from '../podnet/podNet.ts';
import { checkProbe, type ProbeTarget } from '../probes/probeCheck.ts';
import type { Handler } from './pod.ts';

/** A lifecycle hook or probe command that did not do its work. */
export class HookError extends Error {
  readonly code = 'LIFECYCLE_HOOK';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'HookError';
  }
}

const maxOutputBytes = 64 * 1024;

/** Collects a command's output (both streams, bounded) and exit code; it is killed when `signal` aborts, and that rejects. */
export async function runCommand(process: PodProcess, signal: AbortSignal): Promise<{ exitCode: number; output: string }> {
  const chunks: Buffer[] = [];
  let size = 0;
  const ends: Promise<unknown>[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    if (stream === undefined) continue;
    ends.push(new Promise((resolve) => stream.once('close', resolve).once('end', resolve)));
    stream.on('data', (bytes: Buffer) => {
      if (size < maxOutputBytes) chunks.push(bytes);
      size += bytes.length;
    });
  }
  const aborted = new Promise<never>((_resolve, reject) => {
    const stop = (): void => {
      process.kill('SIGKILL');
      reject(new HookError('command did not end in time', { cause: signal.reason }));
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    void process.exited.finally(() => signal.removeEventListener('abort', stop));
  });
  const { exitCode } = await Promise.race([process.exited, aborted]);
  // A grandchild may hold the pipe open: what is there by now is the output.
  await Promise.race([Promise.all(ends), sleep(200)]);
  return { exitCode, output: Buffer.concat(chunks).toString('utf8') };
}

/** Runs a postStart or preStop handler. */
export async function runHook(handler: Handler, target: ProbeTarget, signal: AbortSignal): Promise<void> {
  if (handler.sleep !== undefined) {
    await sleep(handler.sleep.seconds * 1000, undefined, { signal });
  } else if (handler.exec !== undefined) {
    const { exitCode, output } = await target.exec(handler.exec.command, signal);
    if (exitCode !== 0) throw new HookError(`command '${handler.exec.command.join(' ')}' exited with ${exitCode}: ${output}`);
  } else {
    const result = await checkProbe({ ...handler, timeoutSeconds: 30 }, target, signal);
    if (result.outcome !== 'success') throw new HookError(result.message);
  }
}
