import { inspect } from 'node:util';

import type { TslabDiagnostic } from './tslabModules.ts';

/** Content of Jupyter's `error` message. */
export interface CellError {
  ename: string;
  evalue: string;
  traceback: string[];
}

const red = (text: string): string => `\u001b[31m${text}\u001b[39m`;
const gray = (text: string): string => `\u001b[90m${text}\u001b[39m`;

/** Type errors: each with its place in the cell, the line and a marker below it. */
export function diagnosticsError(diagnostics: readonly TslabDiagnostic[], source: string): CellError {
  const lines = source.split('\n');
  const traceback: string[] = [];
  for (const { start, end, messageText, fileName } of diagnostics) {
    traceback.push(`${fileName ?? 'cell'}:${start.line + 1}:${start.character + 1} - ${red(messageText)}`);
    const line = fileName === undefined ? lines[start.line] : undefined;
    if (line === undefined) continue;
    const width = Math.max(1, (end.line === start.line ? end.character : line.length) - start.character);
    const number = String(start.line + 1);
    traceback.push(`${gray(`${number} |`)} ${line}`, `${gray(`${' '.repeat(number.length)} |`)} ${' '.repeat(start.character)}${red('~'.repeat(width))}`);
  }
  const evalue = diagnostics.map((d) => `${d.fileName ? `${d.fileName}:` : ''}${d.start.line + 1}:${d.start.character + 1} ${d.messageText}`).join('; ');
  return { ename: 'TypeScriptError', evalue, traceback };
}

/** A thrown value: frames of the kernel itself are left out, since they say nothing about the cell. */
export function thrownError(thrown: unknown): CellError {
  if (!isErrorLike(thrown)) return { ename: 'Error', evalue: String(thrown), traceback: [red(`Uncaught ${inspect(thrown)}`)] };
  const ename = String(thrown.name ?? 'Error');
  const evalue = thrown.message;
  const stack = typeof thrown.stack === 'string' ? thrown.stack : `${ename}: ${evalue}`;
  const firstFrame = stack.search(/\n\s+at /);
  const frames = firstFrame < 0 ? [] : stack.slice(firstFrame + 1).split('\n');
  const traceback = [red(`${ename}: ${evalue}`), ...frames.filter(isLearnersFrame).map(readableFrame)];
  if (thrown.cause !== undefined) {
    traceback.push(
      ...(isErrorLike(thrown.cause) ? [`caused by ${String(thrown.cause.name ?? 'Error')}: ${thrown.cause.message}`] : [`caused by ${inspect(thrown.cause)}`]),
    );
  }
  return { ename, evalue, traceback };
}

function isErrorLike(value: unknown): value is { name?: unknown; message: string; stack?: unknown; cause?: unknown } {
  return typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string';
}

function isLearnersFrame(frame: string): boolean {
  return !/node:|[\\/]tslab[\\/]|[\\/]labs[\\/]kernel[\\/]|[\\/]labs[\\/]kit[\\/]|^\s+at <anonymous>$/.test(frame);
}

/** Line numbers of the compiled cell differ from what the learner sees, so only the function is named. */
function readableFrame(frame: string): string {
  return gray(frame.replace(/evalmachine\.<anonymous>(:\d+)*/, 'cell').replace(/^(\s+at) cell$/, '$1 cell'));
}
