import { once } from 'node:events';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort } from '../../backend/src/controlplane/freePort.ts';

/** Dynamo's own frontend with mockers behind it, on file discovery, TCP and ZeroMQ. */
export interface DynamoServing extends AsyncDisposable {
  /** Of the frontend. */
  readonly pid: number;
  readonly url: string;
}

/** A Python with all of `ai-dynamo`, named by `DYNAMO_LABS_DYNAMO_PYTHON`. */
export function dynamoServingPython(): { python: string } | { missing: string } {
  const python = process.env['DYNAMO_LABS_DYNAMO_PYTHON'];
  if (!python) return { missing: 'DYNAMO_LABS_DYNAMO_PYTHON is not set (a Python with ai-dynamo 1.6.1 and what its frontend imports, see docs/router.md)' };
  try {
    execFileSync(python, ['-c', 'import dynamo.frontend, dynamo.mocker'], { stdio: 'pipe', timeout: 120_000 });
    return { python };
  } catch (error) {
    return {
      missing: `${python} cannot import dynamo.frontend and dynamo.mocker: ${error instanceof Error ? error.message.split('\n').at(-2) : String(error)}`,
    };
  }
}

/** Resolves when the frontend lists the model. Rejects after a minute with what was logged. */
export async function startDynamoServing({
  python,
  modelDir,
  model,
  mode,
  workers,
  blocks,
}: {
  python: string;
  modelDir: string;
  model: string;
  mode: 'kv' | 'round-robin';
  workers: number;
  blocks: number;
}): Promise<DynamoServing> {
  const folder = await mkdtemp(path.join(tmpdir(), 'dynamo-peer-'));
  const modelCopy = await copyModel(modelDir, path.join(folder, 'model'));
  const port = await freePort();
  const env = {
    ...process.env,
    DYN_DISCOVERY_BACKEND: 'file',
    DYN_FILE_KV: path.join(folder, 'kv'),
    DYN_REQUEST_PLANE: 'tcp',
    DYN_EVENT_PLANE: 'zmq',
    DYN_LOG: 'error',
    HF_HUB_OFFLINE: '1',
  };
  const children: ChildProcess[] = [];
  let log = '';
  const start = (args: string[]): ChildProcess => {
    const child = spawn(python, ['-m', ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
    children.push(child);
    return child;
  };
  const close = async (): Promise<void> => {
    const running = children.filter((child) => child.exitCode === null && child.signalCode === null);
    const ended = running.map((child) => once(child, 'exit'));
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(ended);
    await rm(folder, { recursive: true, force: true });
  };
  const frontend = start(['dynamo.frontend', '--http-host', '127.0.0.1', '--http-port', String(port), '--router-mode', mode]);
  for (let i = 0; i < workers; i++) {
    start([
      'dynamo.mocker',
      ...['--model-path', modelCopy, '--model-name', model, '--block-size', '16', '--num-gpu-blocks-override', String(blocks), '--speedup-ratio', '100000'],
    ]);
  }
  const url = `http://127.0.0.1:${port}`;
  const until = Date.now() + 60_000;
  for (;;) {
    if (await ready(url, model, workers)) return { pid: frontend.pid ?? -1, url, [Symbol.asyncDispose]: close };
    if (Date.now() > until || frontend.exitCode !== null) {
      await close();
      throw new Error(`Dynamo's frontend did not come up:\n${log.slice(-2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Tokenizer and configuration, with what Dynamo wants in the latter; mockers need no weights. */
async function copyModel(from: string, to: string): Promise<string> {
  await mkdir(to);
  const json = async (name: string): Promise<object> => JSON.parse(await readFile(path.join(from, name), 'utf8')) as object;
  const config = { ...(await json('config.json')), model_type: 'llama', architectures: ['LlamaForCausalLM'] };
  const tokenizer = { ...(await json('tokenizer_config.json')), chat_template: await readFile(path.join(from, 'chat_template.jinja'), 'utf8') };
  await copyFile(path.join(from, 'tokenizer.json'), path.join(to, 'tokenizer.json'));
  await writeFile(path.join(to, 'config.json'), JSON.stringify(config));
  await writeFile(path.join(to, 'tokenizer_config.json'), JSON.stringify(tokenizer));
  return to;
}

/** All workers are there once as many answer as there are: the frontend counts them in its health. */
async function ready(url: string, model: string, workers: number): Promise<boolean> {
  try {
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    const health = (await (await fetch(`${url}/health`)).json()) as { instances?: { endpoint: string }[] };
    return models.data.some(({ id }) => id === model) && (health.instances ?? []).filter(({ endpoint }) => endpoint === 'generate').length >= workers;
  } catch {
    return false;
  }
}
