import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** Writes a JSON file that is complete or not there, also when the writer is killed. */
export function writeJsonFile(file: string, value: unknown): void {
  const partial = `${file}.${process.pid}.partial`;
  writeFileSync(partial, `${JSON.stringify(value)}\n`, { mode: 0o600 });
  renameSync(partial, file);
}

/** `undefined` when the file is missing or not JSON (an older format, a full disk). */
export function readJsonFile<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
