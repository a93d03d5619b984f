import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { RadixTreeAnswer, RadixTreeOperation } from './dynamoRadixTreeScenario.ts';

export interface RadixTreePeer {
  /** Of `ai-dynamo-runtime`. */
  version(): Promise<string>;
  /** One scenario at a time, from an empty tree. */
  answers(scenario: RadixTreeOperation[]): Promise<RadixTreeAnswer[]>;
  close(): Promise<void>;
}

/** Dynamo's RadixTree in a Python that has the wheel (`dynamoPython`). */
export function startRadixTreePeer(python: string): RadixTreePeer {
  const script = fileURLToPath(new URL('dynamo_radix_tree.py', import.meta.url));
  const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'pipe'] });
  const complaints: string[] = [];
  child.stderr.on('data', (data: Buffer) => void complaints.push(data.toString()));
  child.stdin.on('error', (error) => void complaints.push(String(error)));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve) => void child.once('close', () => resolve()));
  const ask = async (question: unknown): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`Dynamo's RadixTree ended: ${complaints.join('').slice(-2000)}`);
    return JSON.parse(value);
  };
  return {
    version: () => ask('version') as Promise<string>,
    answers: (scenario) => ask(scenario) as Promise<RadixTreeAnswer[]>,
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}
