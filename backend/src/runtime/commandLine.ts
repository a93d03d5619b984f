import { ArgumentParser, BooleanOptionalAction, type ArgumentOptions } from 'argparse';

/** The command line asks the process to end: after `--help` or `--version` with 0, after a mistake with 2. */
export class CommandLineExit extends Error {
  readonly code = 'COMMAND_LINE_EXIT';
  readonly exitCode: number;
  /** What argparse prints: usage and error to standard error, help to standard output. */
  readonly output: string;
  constructor(exitCode: number, output: string) {
    super(output.trim());
    this.name = 'CommandLineExit';
    this.exitCode = exitCode;
    this.output = output;
  }
}

/** Python's argparse with its own messages, that throws instead of ending the process. */
export class CommandLine extends ArgumentParser {
  #printed = '';

  constructor(description: string) {
    // What `python3 -m package` shows as the program's name.
    super({ prog: '__main__.py', description });
  }

  /** A switch with a `--no-` twin. */
  toggle(flag: string, options: { default: boolean; help: string }): void {
    this.add_argument(flag, { action: BooleanOptionalAction, default: options.default, help: options.help } as unknown as ArgumentOptions);
  }

  /** Parses, or throws `CommandLineExit`. Like vLLM's parser it takes `--max_model_len` for `--max-model-len`. */
  read(argv: readonly string[]): Record<string, unknown> {
    const words = argv.map((word) => word.replace(/^--[^=]+/, (flag) => flag.replaceAll('_', '-')));
    return { ...(this.parse_args(words) as Record<string, unknown>) };
  }

  /** Like `read`, with flags between the positional arguments. */
  readIntermixed(argv: readonly string[]): Record<string, unknown> {
    return { ...(this.parse_intermixed_args([...argv]) as Record<string, unknown>) };
  }

  /** Ends the way argparse reports a wrong value. */
  refuse(message: string): never {
    this.error(message);
    throw new CommandLineExit(2, message);
  }

  override exit(status = 0, message = ''): never {
    throw new CommandLineExit(status, this.#printed + message);
  }

  /** Where all of argparse's printing ends up. */
  _print_message(message: string): void {
    this.#printed += message;
  }
}

/** argparse `type`: a whole number of at least `minimum`. */
export function integer(minimum = 0): (text: string) => number {
  return named('int', (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text.trim()) || value < minimum) throw new TypeError(`invalid int value: '${text}'`);
    return value;
  });
}

/** argparse `type`: a number within the bounds. */
export function float(minimum = -Infinity, maximum = Infinity): (text: string) => number {
  return named('float', (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < minimum || value > maximum) throw new TypeError(`invalid float value: '${text}'`);
    return value;
  });
}

/** argparse `type`: `true` or `false`, as some Dynamo flags take. */
export const bool = named('bool', (text: string): boolean => {
  const value = ['1', 'true', 'yes', 'on'].includes(text.toLowerCase()) ? true : ['0', 'false', 'no', 'off'].includes(text.toLowerCase()) ? false : undefined;
  if (value === undefined) throw new TypeError(`invalid bool value: '${text}'`);
  return value;
});

/** The default of a flag from the environment; an unreadable value is refused under the variable's name. */
export function fromEnv<T>(env: NodeJS.ProcessEnv, name: string, read: (text: string) => T, fallback: T): T {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  try {
    return read(text);
  } catch (error) {
    throw new CommandLineExit(2, `error: environment variable ${name}: ${(error as Error).message}\n`);
  }
}

/** argparse names the type in its message by the function's name. */
function named<T>(name: string, read: (text: string) => T): (text: string) => T {
  Object.defineProperty(read, 'name', { value: name });
  return read;
}
