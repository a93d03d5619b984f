import { CommandLine, CommandLineExit, fromEnv, integer } from '../commandLine.ts';

/** What one call of `nats` asks for. */
export type NatsCommand = { server: string; user: string | undefined; password: string | undefined; timeoutMs: number } & (
  | { command: 'pub'; subject: string; body: string; count: number }
  | { command: 'sub'; subject: string; count: number | undefined; raw: boolean }
  | { command: 'rtt' }
  | { command: 'check-connection' }
  | { command: 'stream-ls' }
  | { command: 'stream-info'; stream: string }
  | { command: 'stream-add'; stream: string; subjects: string[] }
);

const usage = `usage: nats [<flags>] <command> [<args> ...]

NATS Utility, as far as this runtime serves it

Commands:
  pub <subject> [<body>]              publish a message            --count N
  sub <subject>                       print messages               --count N, --raw
  server check connection             connect and send one message to itself
  rtt                                 measure the round trip to the server
  stream ls                           list JetStream streams
  stream info <stream>                show a stream
  stream add <stream> --subjects A,B  create a stream that keeps its messages in files

Flags:
  -s, --server URL     NATS server                                 (NATS_URL, default nats://localhost:4222)
      --user USER      user name, with --password                  (NATS_USER, NATS_PASSWORD)
      --timeout 5s     how long to wait for the server
      --version        show the version
`;

/** Reads the command line. Throws `CommandLineExit`: 0 after help and version, 1 after a mistake (as the real tool). */
export function parseNatsCommand(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): NatsCommand {
  const name = argv.find((word, index) => !word.startsWith('-') && !takesValue(argv[index - 1]));
  if (argv.includes('--help') || argv.includes('-h') || name === 'help') throw new CommandLineExit(0, usage);
  if (argv.includes('--version')) throw new CommandLineExit(0, 'dynamo-labs nats 0.1.0\n');
  if (name === undefined) throw new CommandLineExit(1, usage);
  const parser: CommandLine = new CommandLine('');
  parser.add_argument('words', { nargs: '*' });
  parser.add_argument('-s', '--server', { default: env['NATS_URL'] ?? 'nats://localhost:4222' });
  parser.add_argument('--user', { default: env['NATS_USER'] });
  parser.add_argument('--password', { default: env['NATS_PASSWORD'] });
  parser.add_argument('--timeout', { type: duration, default: fromEnv(env, 'NATS_TIMEOUT', duration, 5_000) });
  parser.add_argument('--count', { type: integer(1) });
  parser.add_argument('--raw', '-r', { action: 'store_true' });
  parser.add_argument('--subjects', {});
  let flags: Record<string, unknown>;
  try {
    flags = parser.readIntermixed(argv);
  } catch (error) {
    if (error instanceof CommandLineExit) throw new CommandLineExit(1, `nats: error: ${error.output.split('error: ').at(-1) ?? ''}`);
    throw error;
  }
  const words = flags['words'] as string[];
  const common = {
    server: flags['server'] as string,
    user: flags['user'] as string | undefined,
    password: flags['password'] as string | undefined,
    timeoutMs: flags['timeout'] as number,
  };
  const count = flags['count'] as number | undefined;
  const need = (index: number, what: string): string => words[index] ?? fail(`required argument '${what}' not provided, try --help`);
  const command = words[0] === 'stream' ? `stream ${words[1] ?? ''}` : words[0] === 'server' ? words.slice(0, 3).join(' ') : words[0];
  switch (command) {
    case 'pub':
    case 'publish':
      return { ...common, command: 'pub', subject: need(1, 'subject'), body: words[2] ?? '', count: count ?? 1 };
    case 'sub':
    case 'subscribe':
      return { ...common, command: 'sub', subject: need(1, 'subject'), count, raw: flags['raw'] === true };
    case 'rtt':
      return { ...common, command: 'rtt' };
    case 'server check connection':
    case 'server check conn':
      return { ...common, command: 'check-connection' };
    case 'stream ls':
    case 'stream list':
      return { ...common, command: 'stream-ls' };
    case 'stream info':
      return { ...common, command: 'stream-info', stream: need(2, 'stream') };
    case 'stream add':
      return {
        ...common,
        command: 'stream-add',
        stream: need(2, 'stream'),
        subjects: ((flags['subjects'] as string | undefined) ?? fail('--subjects is required')).split(','),
      };
    default:
      return fail(`expected command but got "${command}", try --help`);
  }
}

function fail(message: string): never {
  throw new CommandLineExit(1, `nats: error: ${message}\n`);
}

function takesValue(word: string | undefined): boolean {
  return word !== undefined && ['-s', '--server', '--user', '--password', '--timeout', '--count', '--subjects'].includes(word);
}

/** `5s`, `500ms`, `2m`: milliseconds. */
function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  if (match === null) throw new TypeError(`invalid duration: '${text}'`);
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000 }[(match[2] ?? 's') as 'ms' | 's' | 'm'];
}
