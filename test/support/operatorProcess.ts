import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Stack } from './stack.ts';

const project = path.resolve(import.meta.dirname, '../..');
const account = 'dynamo-platform-dynamo-operator-controller-manager';

export interface OperatorProcess extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` of /healthz, /readyz and /metrics. */
  readonly url: string;
  /** Everything it wrote so far. */
  log(): string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number>;
}

/** Runs the operator outside the cluster, with exactly the rights of its ServiceAccount (`assets/platform` must be applied). */
export async function startOperator(stack: Stack, args: string[] = ['--leader-elect']): Promise<OperatorProcess> {
  const dir = mkdtempSync(path.join(tmpdir(), 'operator-'));
  const token = await stack.kubectl(['create', 'token', account, '-n', 'dynamo-system', '--duration=1h']);
  if (token.code !== 0) throw new Error(token.stderr);
  const ca = await stack.kubectl(['get', 'configmap', 'kube-root-ca.crt', '-n', 'dynamo-system', '-o', 'jsonpath={.data.ca\\.crt}']);
  writeFileSync(path.join(dir, 'token'), token.stdout, { mode: 0o600 });
  writeFileSync(path.join(dir, 'ca.crt'), ca.stdout, { mode: 0o600 });
  const server = new URL(stack.local.server);
  const child: ChildProcess = spawn(process.execPath, [path.join(project, 'backend/src/operator/main.ts'), '--bind-address=127.0.0.1:0', ...args], {
    env: {
      PATH: process.env['PATH'],
      KUBERNETES_SERVICE_HOST: server.hostname,
      KUBERNETES_SERVICE_PORT: server.port,
      DYNAMO_LABS_SERVICEACCOUNT_DIR: dir,
      POD_NAMESPACE: 'dynamo-system',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (log += text));
  const exited = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  const stop = async (): Promise<number> => {
    child.kill('SIGTERM');
    const code = await exited;
    await rm(dir, { recursive: true, force: true });
    return code;
  };
  const deadline = Date.now() + 20_000;
  let port: string | undefined;
  while ((port = /Starting manager.* port=(\d+)/.exec(log)?.[1]) === undefined) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`the operator did not start: ${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { url: `http://127.0.0.1:${port}`, log: () => log, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}
