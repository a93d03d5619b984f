import { describe, expect, it } from 'vitest';
import { CommandLineExit } from '../commandLine.ts';
import { parseNatsCommand } from './natsCommand.ts';

describe('nats command', () => {
  it('takes flags before and after the arguments', () => {
    const pub = { command: 'pub', subject: 'test', body: 'Hello from NATS test', server: 'nats://nats.nats-system:4222', count: 1 };
    expect(parseNatsCommand(['pub', '-s', 'nats://nats.nats-system:4222', 'test', 'Hello from NATS test'], {})).toMatchObject(pub);
    expect(parseNatsCommand(['pub', 'test', 'Hello from NATS test', '--server', 'nats://nats.nats-system:4222'], {})).toMatchObject(pub);
    expect(parseNatsCommand(['-s', 'nats://nats.nats-system:4222', 'pub', 'test', 'Hello from NATS test'], {})).toMatchObject(pub);
  });

  it('reads sub, stream and the environment', () => {
    expect(parseNatsCommand(['sub', '>', '--count', '2', '--timeout', '500ms'], { NATS_URL: 'nats://x:1' })).toMatchObject({
      command: 'sub',
      subject: '>',
      count: 2,
      timeoutMs: 500,
      server: 'nats://x:1',
    });
    expect(parseNatsCommand(['stream', 'add', 'EVENTS', '--subjects', 'a,b'], {})).toMatchObject({ command: 'stream-add', subjects: ['a', 'b'] });
    const check = { command: 'check-connection', server: 'nats://nats.nats-system:4222' };
    expect(parseNatsCommand(['--server', 'nats://nats.nats-system:4222', 'server', 'check', 'connection'], {})).toMatchObject(check);
    expect(parseNatsCommand(['server', 'check', 'connection', '-s', 'nats://nats.nats-system:4222'], {})).toMatchObject(check);
    expect(parseNatsCommand(['--server=nats://nats.nats-system:4222', 'server', 'check', 'connection'], {})).toMatchObject(check);
    expect(parseNatsCommand(['stream', 'ls'], {})).toMatchObject({ command: 'stream-ls' });
  });

  it.each([
    [[], 1, 'usage: nats'],
    [['--help'], 0, 'usage: nats'],
    [['pub'], 1, "required argument 'subject' not provided"],
    [['server', 'check', 'jetstream'], 1, 'expected command but got "server check jetstream"'],
    [['request', 'x'], 1, 'expected command but got "request"'],
    [['sub', 'x', '--count', 'many'], 1, 'invalid int value'],
    [['sub', 'x', '--timeout', 'soon'], 1, 'invalid duration'],
  ])('ends %j with %i', (argv, exitCode, text) => {
    try {
      parseNatsCommand(argv, {});
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(CommandLineExit);
      expect(error).toMatchObject({ exitCode });
      expect((error as CommandLineExit).output).toContain(text);
    }
  });
});
