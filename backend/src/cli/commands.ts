import type { Command } from './command.ts';

interface Entry {
  summary: string;
  load: () => Promise<Command>;
}

/** First sees to what lies in the cache (Kubernetes, nats-server, model weights), then runs the command. */
function prepared(command: Command): Command {
  return async (args, signal) => {
    await (await import('./setup.ts')).setup([], signal);
    return command(args, signal);
  };
}

/** Every command. Each is loaded only when it is called. */
export const commands: Record<string, Entry> = {
  start: { summary: 'start everything and print the URL (Ctrl-C stops it)', load: async () => (await import('./start.ts')).start },
  stop: { summary: 'stop what runs', load: async () => (await import('./stop.ts')).stop },
  status: { summary: 'show every process; -- --json for programs', load: async () => (await import('./status.ts')).status },
  reset: { summary: 'remove all data, keep what was downloaded; -- --yes does not ask', load: async () => (await import('./reset.ts')).reset },
  labs: {
    summary: 'list, lint and test the labs',
    load: async () => {
      const { runLabs } = await import('./labs.ts');
      return (args, signal) => (args[0] === 'test' ? prepared(runLabs) : runLabs)(args, signal);
    },
  },
  model: { summary: 'list and add models that workers compute with; -- --help', load: async () => (await import('./model.ts')).model },
  replay: { summary: 'what each router mode makes of a trace; -- --help', load: async () => (await import('./replay.ts')).replay },
  bench: { summary: 'measure; -- --json FILE', load: async () => prepared((await import('./bench.ts')).runBench) },
  test: { summary: 'run all tests', load: async () => prepared((await import('./test.ts')).runTests) },
};

export function usage(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  npm run ${name.padEnd(7)} ${summary}`);
  return `Dynamo Labs\n\n${lines.join('\n')}\n`;
}
