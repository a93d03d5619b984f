import { copyFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { convertGguf, describeModel, ggufTokenizer, isEngineType, ModelFileError, readGguf, type ConvertGgufOptions } from '../engine/modelFiles/index.ts';
import { publishModel } from './modelAssets.ts';

export interface ImportModelOptions {
  /** `StateLayout.cache`. */
  cacheDir: string;
  /** Below `models/`: what `DYNAMO_LABS_ENGINE_MODEL` is set to. */
  name: string;
  /** A Hugging Face folder, or a .gguf file of any readable type. */
  source: string;
  /** Of matrices that have to be converted. */
  dtype?: ConvertGgufOptions['dtype'];
  /** Sees the finished folder before it takes its place; a rejection leaves everything as it was. */
  check: (dir: string) => Promise<void>;
}

/** A name that cannot be a folder of its own, or is one of ours. `code` MODEL_NAME. */
export class ModelNameError extends Error {
  readonly code = 'MODEL_NAME';
  constructor(message: string) {
    super(message);
    this.name = 'ModelNameError';
  }
}

const ours = new Set(['tiny', 'smollm2-135m-instruct']);
const wanted =
  /^(config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|chat_template\.(jinja|json)|.*\.safetensors|model\.safetensors\.index\.json)$/;

/** Copies a model into the cache, where every worker finds it, converting what the engine cannot multiply. Rejects with ModelFileError or ModelNameError. */
export async function importModel({ cacheDir, name, source, dtype, check }: ImportModelOptions): Promise<string> {
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(name))
    throw new ModelNameError(`${JSON.stringify(name)} is no model name: 1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit`);
  if (ours.has(name)) throw new ModelNameError(`"${name}" is a model that comes with the course; choose another name`);
  const found = await stat(source).catch(() => undefined);
  if (found === undefined) throw new ModelFileError('NO_MODEL', source, '', 'does not exist');
  const gguf = found.isDirectory() ? await onlyGguf(source) : source;
  const dir = path.join(cacheDir, 'models', name);
  await publishModel(dir, async (fresh) => {
    if (gguf === undefined) await copyFolder(source, fresh);
    else await fromGguf(gguf, fresh, dtype);
    describeModel(fresh);
    await writeFile(path.join(fresh, 'card.json'), JSON.stringify({ id: name, name, source: 'local' }, null, 2));
    await check(fresh);
  });
  return dir;
}

async function onlyGguf(dir: string): Promise<string | undefined> {
  const ggufs = (await readdir(dir)).filter((file) => file.endsWith('.gguf'));
  if (ggufs.length > 1) throw new ModelFileError('NO_MODEL', dir, '', `holds ${ggufs.length} .gguf files; name one`);
  return ggufs[0] === undefined ? undefined : path.join(dir, ggufs[0]);
}

async function copyFolder(source: string, dir: string): Promise<void> {
  describeModel(source);
  for (const file of await readdir(source)) if (wanted.test(file)) await copyFile(path.join(source, file), path.join(dir, file));
}

async function fromGguf(source: string, dir: string, dtype: ConvertGgufOptions['dtype']): Promise<void> {
  const gguf = readGguf(source);
  if (gguf.tensors.every(({ type }) => isEngineType(type))) await copyFile(source, path.join(dir, 'model.gguf'));
  else convertGguf(source, dir, dtype === undefined ? {} : { dtype });
  const { tokenizer, config, chatTemplate } = ggufTokenizer(gguf);
  await writeFile(path.join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(path.join(dir, 'tokenizer_config.json'), JSON.stringify(config, null, 2));
  if (chatTemplate !== undefined) await writeFile(path.join(dir, 'chat_template.jinja'), chatTemplate);
}
