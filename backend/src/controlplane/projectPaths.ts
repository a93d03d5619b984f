import { fileURLToPath } from 'node:url';
import path from 'node:path';

/** The repository's root. */
export const projectDir = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

/** The Python environment that `scripts/bootstrap.mjs` makes. */
export const pythonBin = path.join(projectDir, '.venv', 'bin');

/** Runs one of our TypeScript programs with this very Node. */
export function nodeArgv(entry: string): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', path.join(projectDir, entry)];
}
