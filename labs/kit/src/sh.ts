import { spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';

import { KitError } from './kitError';
import { Rich } from './rich';

export interface ShellOptions {
  /** Sent to the command's standard input. */
  input?: string;
  env?: Record<string, string>;
  cwd?: string;
  /** Default ten minutes. */
  deadlineMs?: number;
  /** Do not print while it runs. */
  quiet?: boolean;
}

/** What a command printed. The output was shown while it ran, so the value itself shows nothing. */
export class ShellResult extends Rich {
  readonly command: string;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;

  constructor(fields: { command: string; exitCode: number; stdout: string; stderr: string }) {
    super();
    this.command = fields.command;
    this.exitCode = fields.exitCode;
    this.stdout = fields.stdout;
    this.stderr = fields.stderr;
  }

  override bundle(): undefined {
    return undefined;
  }
}

/** A command ended with an exit code other than 0, or was killed (`exitCode` −1). */
export class ShellError extends KitError {
  readonly result: ShellResult;

  constructor(result: ShellResult, what: string) {
    const last = result.stderr.trim().split('\n').slice(-3).join('\n');
    super('COMMAND_FAILED', `\`${result.command}\` ${what}${last && `: ${last}`}`);
    this.name = 'ShellError';
    this.result = result;
  }
}

/**
 * Runs a line of bash (`pipefail` on) and prints its output as it comes.
 *
 * @throws {ShellError} when the exit code is not 0.
 */
export async function sh(command: string, options: ShellOptions = {}): Promise<ShellResult> {
  return await run('bash', ['-o', 'pipefail', '-c', command], command, options);
}

/** Like `sh`, but without a shell between: arguments arrive as they are. */
export async function run(program: string, args: readonly string[], shown: string, options: ShellOptions = {}): Promise<ShellResult> {
  const deadlineMs = options.deadlineMs ?? 10 * 60_000;
  const child = spawn(program, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: 'pipe', signal: AbortSignal.timeout(deadlineMs) });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    const decoder = new StringDecoder('utf8');
    child[name].on('data', (chunk: Buffer) => {
      const text = decoder.write(chunk);
      output[name] += text;
      if (!options.quiet) process[name].write(text);
    });
  }
  // A command may end without reading its input.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', (cause: Error) => {
      const late = cause.name === 'AbortError' || cause.name === 'TimeoutError';
      reject(
        new KitError(
          'COMMAND_FAILED',
          late ? `\`${shown}\` was ended after ${deadlineMs / 1000} s` : `\`${shown}\` could not be started: ${cause.message}`,
          cause,
        ),
      );
    });
    child.once('close', (exitCode, by) => resolve({ code: exitCode, signal: by }));
  });
  const result = new ShellResult({ command: shown, exitCode: code ?? -1, ...output });
  if (code !== 0) throw new ShellError(result, signal ? `was ended by ${signal}` : `ended with exit code ${code}`);
  return result;
}
