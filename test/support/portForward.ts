import { spawn } from 'node:child_process';
import type { Stack } from './stack.ts';

/** `kubectl port-forward` with a local port of the system's choice. */
export async function portForward(stack: Stack, namespace: string, target: string, port: number): Promise<{ url: string; close: () => void }> {
  const child = spawn('kubectl', ['port-forward', '-n', namespace, target, `:${port}`], { env: stack.env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`port-forward ${target}: nothing within 30 s: ${said}`)), 30_000);
    const end = (error: Error): void => {
      clearTimeout(timer);
      reject(error);
    };
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString('utf8');
        const local = /127\.0\.0\.1:(\d+) -> /.exec(said)?.[1];
        if (local === undefined) return;
        clearTimeout(timer);
        resolve(`http://127.0.0.1:${local}`);
      });
    child.once('error', end);
    child.once('exit', (code) => end(new Error(`port-forward ${target} ended with ${code}: ${said}`)));
  });
  return { url, close: () => void child.kill('SIGKILL') };
}
