import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir, stateLayout } from '../../backend/src/controlplane/index.ts';
import { ensureModelAssets } from '../../backend/src/controlplane/modelAssets.ts';

/** A frontend or a worker, started as the image's `python3` starts it. */
export interface ServingProcess {
  readonly pid: number;
  /** `http://127.0.0.1:port` of the frontend, or of the worker's system server. */
  readonly url: string;
  /** Everything it has logged. */
  readonly log: () => string;
  /** Resolves with the exit code; null after a signal that ended it. */
  readonly exited: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

export interface ServingGroup extends AsyncDisposable {
  startWorker(args?: string[], env?: Record<string, string>): Promise<ServingProcess>;
  startPrefillWorker(args?: string[], env?: Record<string, string>): Promise<ServingProcess>;
  startDecodeWorker(args?: string[], env?: Record<string, string>): Promise<ServingProcess>;
  startFrontend(args?: string[], env?: Record<string, string>): Promise<ServingProcess>;
  /** Where its processes keep their discovery files (`kv`) and transfer sockets (`transfer`). */
  readonly dir: string;
  /** Runs `python3 …` to its end. */
  python(args: string[], env?: Record<string, string>): Promise<{ code: number | null; output: string }>;
  close(): Promise<void>;
}

const shim = path.join(projectDir, 'assets', 'images', 'bin', 'vllm-runtime', 'python3');
/** A process of a busy machine may take long to be there. */
const startMs = 60_000;

/** Frontends and workers of one machine that find each other by file discovery in a folder of their own. */
export async function servingGroup(env: Record<string, string> = {}): Promise<ServingGroup> {
  const { cache } = stateLayout();
  const signal = AbortSignal.timeout(60_000);
  await ensureModelAssets({ cacheDir: cache, log: () => {}, signal, installers: [] });
  const root = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-serving-'));
  // As the node agent gives it to the pods of a host.
  const transfer = path.join(root, 'transfer');
  mkdirSync(transfer, { mode: 0o700 });
  const running = new Set<ServingProcess>();
  const base: Record<string, string> = {
    PATH: [path.dirname(process.execPath), process.env['PATH'] ?? ''].join(path.delimiter),
    DYN_DISCOVERY_BACKEND: 'file',
    DYN_FILE_KV: path.join(root, 'kv'),
    DYNAMO_LABS_MODELS: path.join(cache, 'models'),
    DYNAMO_LABS_ENGINE_MODEL: 'tiny',
    DYNAMO_LABS_TRANSFER_DIR: transfer,
    ...env,
  };
  const launch = (args: string[], extra: Record<string, string>): { child: ChildProcess; log: () => string; exited: Promise<number | null> } => {
    const child = spawn(shim, args, { env: { ...base, ...extra }, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    return { child, log: () => text, exited };
  };
  const start = async (args: string[], extra: Record<string, string>, ready: RegExp, port: RegExp): Promise<ServingProcess> => {
    const { child, log, exited } = launch(args, extra);
    let ended = false;
    void exited.then(() => (ended = true));
    const until = Date.now() + startMs;
    while (!(ready.test(log()) && port.test(log()))) {
      if (ended || Date.now() > until) {
        child.kill('SIGKILL');
        throw new Error(`${args.join(' ')} did not come up:\n${log()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const url = `http://127.0.0.1:${port.exec(log())?.[1]}`;
    const started: ServingProcess = { pid: child.pid ?? -1, url, log, exited, kill: (name) => void child.kill(name) };
    running.add(started);
    void exited.then(() => running.delete(started));
    return started;
  };
  const startWorker: ServingGroup['startWorker'] = (args = [], extra = {}) =>
    start(
      ['-m', 'dynamo.vllm', '--model', 'Qwen/Qwen2.5-1.5B-Instruct', '--enable-prefix-caching', ...args],
      { DYN_SYSTEM_PORT: '0', ...extra },
      /Serving on request plane/,
      /System status server on port (\d+)/,
    );
  return {
    dir: root,
    startWorker,
    startPrefillWorker: (args = [], extra = {}) => startWorker(['--is-prefill-worker', ...args], extra),
    startDecodeWorker: (args = [], extra = {}) => startWorker(['--is-decode-worker', ...args], extra),
    startFrontend: (args = [], extra = {}) =>
      start(['-m', 'dynamo.frontend', '--http-port', '0', ...args], extra, /Starting HTTP/, /Starting HTTP\(S\) service on 127\.0\.0\.1:(\d+)/),
    python: async (args, extra = {}) => {
      const { child, log, exited } = launch(args, extra);
      const timer = setTimeout(() => child.kill('SIGKILL'), startMs);
      const code = await exited;
      clearTimeout(timer);
      return { code, output: log() };
    },
    close,
    [Symbol.asyncDispose]: close,
  };

  async function close(): Promise<void> {
    const all = [...running];
    for (const one of all) one.kill('SIGTERM');
    const late = setTimeout(() => all.forEach((one) => one.kill('SIGKILL')), 10_000);
    await Promise.all(all.map((one) => one.exited));
    clearTimeout(late);
    await rm(root, { recursive: true, force: true });
  }
}

/** Asks until `accept` holds, for at most 30 s, then fails with what was seen last. */
export async function eventually<T>(look: () => Promise<T>, accept: (seen: T) => boolean): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    const seen = await look();
    if (accept(seen)) return seen;
    if (Date.now() > until) throw new Error(`not seen within 30 s; last: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function getJson<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  return (await response.json()) as T;
}
