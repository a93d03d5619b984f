import { connect, type NatsConnection } from 'nats';
import { CommandLineExit } from '../commandLine.ts';
import { checkConnection } from './checkConnection.ts';
import { parseNatsCommand, type NatsCommand } from './natsCommand.ts';

const decoder = new TextDecoder();

function clock(): string {
  return new Date().toTimeString().slice(0, 8);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function run(command: Exclude<NatsCommand, { command: 'check-connection' }>, connection: NatsConnection): Promise<void> {
  switch (command.command) {
    case 'pub':
      for (let i = 0; i < command.count; i++) connection.publish(command.subject, command.body);
      await connection.flush();
      return print(`${clock()} Published ${Buffer.byteLength(command.body) * command.count} bytes to "${command.subject}"`);
    case 'sub': {
      if (!command.raw) print(`${clock()} Subscribing on ${command.subject}`);
      let received = 0;
      for await (const message of connection.subscribe(command.subject, command.count === undefined ? {} : { max: command.count })) {
        received += 1;
        const text = decoder.decode(message.data);
        print(command.raw ? text : `[#${received}] Received on "${message.subject}"\n${text}\n`);
      }
      return;
    }
    case 'rtt':
      return print(`${connection.getServer()}: ${await connection.rtt()} ms`);
    case 'stream-ls': {
      const streams = await (await connection.jetstreamManager()).streams.list().next();
      if (streams.length === 0) return print('No Streams defined');
      for (const { config, state } of streams) print(`${config.name}\t${state.messages} messages\t${state.bytes} bytes\t${config.subjects.join(', ')}`);
      return;
    }
    case 'stream-info': {
      const { config, state } = await (await connection.jetstreamManager()).streams.info(command.stream);
      return print(JSON.stringify({ config, state }, undefined, 2));
    }
    case 'stream-add':
      await (await connection.jetstreamManager()).streams.add({ name: command.stream, subjects: command.subjects });
      return print(`Stream ${command.stream} was created`);
  }
}

/** `nats`: one command against one server. */
async function main(): Promise<number> {
  let connection: NatsConnection | undefined;
  try {
    const command = parseNatsCommand(process.argv.slice(2));
    const { server, user, password, timeoutMs } = command;
    const toServer = () =>
      connect({ servers: server, timeout: timeoutMs, maxReconnectAttempts: 5, ...(user === undefined ? {} : { user, pass: password ?? '' }) });
    if (command.command === 'check-connection') {
      const { line, exitCode } = await checkConnection(toServer);
      print(line);
      return exitCode;
    }
    connection = await toServer();
    const open = connection;
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void open.close());
    await run(command, open);
    return 0;
  } catch (error) {
    if (error instanceof CommandLineExit) {
      (error.exitCode === 0 ? process.stdout : process.stderr).write(error.output);
      return error.exitCode;
    }
    process.stderr.write(`nats: error: ${(error as Error).message}\n`);
    return 1;
  } finally {
    if (connection !== undefined && !connection.isClosed()) await connection.close();
  }
}

process.exitCode = await main();
