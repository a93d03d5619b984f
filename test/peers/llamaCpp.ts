import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const environmentName = 'DYNAMO_LABS_LLAMA_CPP';
const install = 'npm install --prefix FOLDER --ignore-scripts --omit=optional node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1';

/** What the benchmark needs of llama.cpp: one sequence on one thread, its context as llama.cpp sets it up by default. */
export interface LlamaCpp {
  /** Forgets everything and computes the prompt. */
  prefill(tokens: readonly number[]): Promise<void>;
  /** Goes on with `count` tokens, the most likely each time. */
  decode(first: number, count: number): Promise<void>;
  close(): Promise<void>;
}

interface LlamaSequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(tokens: readonly number[], options: { temperature: number; yieldEogToken: boolean }): AsyncGenerator<number>;
}
interface LlamaModule {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{ createContext(options: object): Promise<{ getSequence(): LlamaSequence }> }>;
    dispose(): Promise<void>;
  }>;
}

/** llama.cpp by the npm package node-llama-cpp, in the folder that `DYNAMO_LABS_LLAMA_CPP` names; without it comparisons are skipped and say so. */
export function llamaCppFolder(): { folder: string } | { missing: string } {
  const folder = process.env[environmentName];
  if (!folder) return { missing: `${environmentName} is not set (a FOLDER with ${install})` };
  const entry = path.join(folder, 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  return existsSync(entry) ? { folder } : { missing: `${entry} does not exist (${install.replace('FOLDER', folder)})` };
}

export async function loadLlamaCpp(folder: string, modelPath: string, contextSize: number): Promise<LlamaCpp> {
  const entry = path.join(path.resolve(folder), 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
  const { getLlama } = (await import(pathToFileURL(entry).href)) as LlamaModule;
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: 'error' });
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({ contextSize, threads: 1, batchSize: 512 });
  const sequence = context.getSequence();
  return {
    async prefill(tokens) {
      await sequence.clearHistory();
      await sequence.evaluateWithoutGeneratingNewTokens(tokens);
    },
    async decode(first, count) {
      let left = count;
      for await (const _ of sequence.evaluate([first], { temperature: 0, yieldEogToken: true })) if (--left === 0) break;
      if (left > 0) throw new Error(`llama.cpp stopped ${left} tokens early`);
    },
    close: () => llama.dispose(),
  };
}
