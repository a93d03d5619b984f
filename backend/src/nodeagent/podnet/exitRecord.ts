import { readFileSync } from 'node:fs';
import type { ExitStatus } from './podNet.ts';

export interface ExitRecord extends ExitStatus {
  /** RFC 3339, milliseconds. */
  finishedAt: string;
}

/** Where a detached process leaves its exit status: beside its stdout file. */
export function exitRecordFile(stdoutFile: string): string {
  return `${stdoutFile}.exit`;
}

/** The exit status of a detached process that ended, also while no agent ran; `undefined` if it left none. */
export function readExitRecord(file: string): ExitRecord | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const { exitCode, signal, finishedAt } = JSON.parse(text) as { exitCode: number; signal: number; finishedAt: string };
  return { exitCode, finishedAt, ...(signal === 0 ? {} : { signal }) };
}
