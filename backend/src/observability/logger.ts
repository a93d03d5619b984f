export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

export type LogFields = Record<string, string | number | boolean | bigint | null | undefined>;

/** Writes Dynamo's log lines: `2026-01-31T12:00:00.000000Z  INFO target: message key=value`. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** The same sink under another target. */
  child(target: string): Logger;
}

export interface LoggerOptions {
  target: string;
  /** `DYN_LOG`: a level, or a list such as `info,dynamo_labs::router=debug`; targets match by prefix. Default `info`. */
  filter?: string;
  /** One JSON object per line instead of text (`DYN_LOGGING_JSONL`). */
  jsonl?: boolean;
  /** Default: standard error, where Dynamo logs. */
  write?: (line: string) => void;
}

const order: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];

export function createLogger(options: LoggerOptions): Logger {
  const levelOf = parseFilter(options.filter ?? 'info');
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const jsonl = options.jsonl ?? false;
  const make = (target: string): Logger => {
    const enabled = order.indexOf(levelOf(target));
    const log =
      (level: LogLevel) =>
      (message: string, fields: LogFields = {}): void => {
        if (order.indexOf(level) <= enabled) write(jsonl ? jsonLine(level, target, message, fields) : textLine(level, target, message, fields));
      };
    return { error: log('error'), warn: log('warn'), info: log('info'), debug: log('debug'), child: make };
  };
  return make(options.target);
}

/** The logger of one process, configured by `DYN_LOG` and `DYN_LOGGING_JSONL`. `write`: as in {@link LoggerOptions}. */
export function loggerFromEnv(target: string, env: NodeJS.ProcessEnv = process.env, write?: (line: string) => void): Logger {
  const jsonl = env['DYN_LOGGING_JSONL'];
  return createLogger({
    target,
    ...(write === undefined ? {} : { write }),
    ...(env['DYN_LOG'] === undefined ? {} : { filter: env['DYN_LOG'] }),
    jsonl: jsonl === '1' || jsonl?.toLowerCase() === 'true',
  });
}

function parseFilter(filter: string): (target: string) => LogLevel {
  let fallback: LogLevel = 'info';
  const rules: { prefix: string; level: LogLevel }[] = [];
  for (const part of filter.split(',')) {
    const [left, right] = part.trim().toLowerCase().split('=');
    const level = order.find((name) => name === (right ?? left));
    if (level === undefined || left === undefined) continue;
    if (right === undefined) fallback = level;
    else rules.push({ prefix: left, level });
  }
  rules.sort((a, b) => b.prefix.length - a.prefix.length);
  return (target) => rules.find((rule) => target.startsWith(rule.prefix))?.level ?? fallback;
}

/** Microseconds as Rust's tracing prints them; JavaScript's clock ends at milliseconds. */
function timestamp(): string {
  return new Date().toISOString().replace('Z', '000Z');
}

function textLine(level: LogLevel, target: string, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : String(value)}`)
    .join('');
  return `${timestamp()} ${level.toUpperCase().padStart(5)} ${target}: ${message.replaceAll('\n', '\\n')}${pairs}\n`;
}

function jsonLine(level: LogLevel, target: string, message: string, fields: LogFields): string {
  const values = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]));
  return `${JSON.stringify({ time: timestamp(), level: level.toUpperCase(), target, message, ...values })}\n`;
}
