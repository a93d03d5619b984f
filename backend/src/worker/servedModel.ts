import { existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** Where the computing model lies, and whether it is the one that was asked for. */
export interface ServedModel {
  /** Folder with weights, tokenizer and chat template. */
  dir: string;
  /** Another model computes under the asked name. */
  standIn: boolean;
}

/** No folder holds a model that could serve. `code` MODEL_NOT_FOUND. */
export class ModelNotFoundError extends Error {
  readonly code = 'MODEL_NOT_FOUND';
  constructor(message: string) {
    super(message);
    this.name = 'ModelNotFoundError';
  }
}

/** Tried in this order where `DYNAMO_LABS_ENGINE_MODEL` does not choose. */
const standIns = ['smollm2-135m-instruct', 'tiny'];

/**
 * A `--model` that is a local folder serves itself. Any other name is served by a stand-in: `DYNAMO_LABS_ENGINE_MODEL`
 * (a folder, or a name below the models folder), else the first that is installed.
 */
export function findServedModel(model: string, env: NodeJS.ProcessEnv = process.env): ServedModel {
  const isFolder = (dir: string): boolean => existsSync(dir) && statSync(dir).isDirectory();
  if (path.isAbsolute(model) || model.startsWith('.')) {
    if (!isFolder(model)) throw new ModelNotFoundError(`--model ${model}: there is no such folder`);
    return { dir: path.resolve(model), standIn: false };
  }
  const models = modelsFolder(env);
  const chosen = env['DYNAMO_LABS_ENGINE_MODEL'];
  const names = chosen === undefined || chosen === '' ? standIns : [chosen];
  for (const name of names) {
    const dir = path.resolve(models, name);
    if (isFolder(dir)) return { dir, standIn: true };
  }
  throw new ModelNotFoundError(`no model can stand in for ${model}: none of ${names.join(', ')} in ${models}. "npm start" fetches them.`);
}

function modelsFolder(env: NodeJS.ProcessEnv): string {
  const explicit = env['DYNAMO_LABS_MODELS'];
  if (explicit !== undefined && explicit !== '') return explicit;
  const home = env['DYNAMO_LABS_HOME'] ?? path.join(env['XDG_STATE_HOME'] ?? path.join(homedir(), '.local', 'state'), 'dynamo-labs');
  return path.join(env['DYNAMO_LABS_CACHE'] ?? path.join(home, 'cache'), 'models');
}
