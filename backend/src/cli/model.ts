import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { importModel, ModelNameError } from '../controlplane/importModel.ts';
import { stateLayout } from '../controlplane/stateLayout.ts';
import { createLlmEngine, ModelFileError } from '../engine/index.ts';
import { describeModel } from '../engine/modelFiles/index.ts';
import { loadTextCodec } from '../preprocess/index.ts';
import { CliError } from './cliError.ts';
import type { Command } from './command.ts';

const usage = `npm run model -- list
npm run model -- add NAME PATH [--dtype F16|F32]

add   copies a Hugging Face folder or a .gguf file to where workers find it, converts what the engine cannot multiply as it is
      (--dtype: of the converted matrices, F16), and tries it. Serve it: DYNAMO_LABS_ENGINE_MODEL=NAME npm start
`;

/** `npm run model`: the models that workers can compute with. */
export const model: Command = async (args, signal) => {
  const { values, positionals } = parse(args);
  const [verb, name, source] = positionals;
  const { cache } = stateLayout();
  if (verb === 'list' && positionals.length === 1) return list(path.join(cache, 'models'));
  if (verb !== 'add' || name === undefined || source === undefined || positionals.length > 3) {
    process.stdout.write(usage);
    return values.help === true ? 0 : 2;
  }
  const dtype = values.dtype ?? 'F16';
  if (dtype !== 'F16' && dtype !== 'F32') throw new CliError(`--dtype is ${dtype}.`, '--dtype F16 | F32');
  try {
    const dir = await importModel({ cacheDir: cache, name, source, dtype, check: (fresh) => tryModel(fresh, signal) });
    console.log(`${describe(dir)}\nServe it: DYNAMO_LABS_ENGINE_MODEL=${name} npm start`);
    return 0;
  } catch (error) {
    if (error instanceof ModelFileError || error instanceof ModelNameError) throw new CliError(error.message, undefined, { cause: error });
    throw error;
  }
};

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: { help: { type: 'boolean' }, dtype: { type: 'string' } } });
  } catch (cause) {
    throw new CliError((cause as Error).message, 'npm run model -- --help', { cause });
  }
}

/** One token, so that a model which cannot serve is refused now and not when a graph is deployed. */
async function tryModel(dir: string, signal: AbortSignal): Promise<void> {
  const codec = await loadTextCodec(dir);
  const engine = await createLlmEngine(
    { modelDir: dir, blocks: 4, blockTokens: 16, maxNumSeqs: 1, maxNumBatchedTokens: 64, enablePrefixCaching: false, threads: 1, maxModelLen: 64 },
    signal,
  );
  try {
    if (codec.vocabSize > engine.model.vocabSize)
      throw new CliError(`The tokenizer has ${codec.vocabSize} tokens, the model's vocabulary ${engine.model.vocabSize}: they do not belong together.`);
    const request = {
      request_id: 'try',
      model: dir,
      token_ids: codec.encode('Hello').slice(0, 32),
      stop_conditions: { max_tokens: 1 },
      sampling_options: { temperature: 0 },
      output_options: {},
    };
    for await (const output of engine.generate(request, signal)) if (output.error) throw new CliError(`The model cannot compute: ${output.error.message}`);
  } finally {
    await engine[Symbol.asyncDispose]();
  }
}

async function list(models: string): Promise<number> {
  for (const name of (await readdir(models).catch(() => [])).filter((entry) => !entry.includes('.new-') && !entry.includes('.old-'))) {
    try {
      console.log(describe(path.join(models, name)));
    } catch (error) {
      console.log(`${name.padEnd(28)} ${(error as Error).message}`);
    }
  }
  return 0;
}

function describe(dir: string): string {
  const { architecture, parameters, contextLength } = describeModel(dir);
  return `${path.basename(dir).padEnd(28)} ${architecture}, ${(parameters / 1e6).toFixed(1)} M parameters, context ${contextLength}`;
}
