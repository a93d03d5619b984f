import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

/** The first executable file of that name on a PATH. */
export function findOnPath(name: string, searchPath: string): string | undefined {
  for (const dir of searchPath.split(path.delimiter)) {
    if (dir === '') continue;
    const file = path.join(dir, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The first `x.y.z` that a program prints about its version; `undefined` when it prints none. */
export async function programVersion(file: string, args: string[], signal: AbortSignal): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await promisify(execFile)(file, args, { signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]) });
    return /\bv?(\d+\.\d+\.\d+)/.exec(`${stdout}\n${stderr}`)?.[1];
  } catch {
    return undefined;
  }
}

/** Whether `least` <= `version` < `below`; all `x.y.z` or `x.y`. */
export function versionWithin(version: string, least: string, below: string): boolean {
  return compare(version, least) >= 0 && compare(version, below) < 0;
}

function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number));
  for (let index = 0; index < 3; index++) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
