import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Dealer, Subscriber } from 'zeromq';

import { decodeWireMessage, encodeWireMessage } from '../../labs/kernel/wireMessage.ts';
import type { WireMessage } from '../../labs/kernel/wireMessage.ts';

/** All that one request brought, in order of arrival. */
export interface CellResult {
  reply: WireMessage;
  /** Everything on iopub up to this request's `idle`. */
  published: WireMessage[];
  stdout: string;
  stderr: string;
  displays: Record<string, unknown>[];
  error?: { ename: string; evalue: string; traceback: string[] };
}

/** A Jupyter client of one kernel process, started from a kernelspec's `argv` as Jupyter starts it. */
export class KernelClient implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #folder: string;
  readonly #key: string;
  readonly #shell = new Dealer({ linger: 0 });
  readonly #control = new Dealer({ linger: 0 });
  readonly #iopub = new Subscriber({ linger: 0, receiveHighWaterMark: 0 });
  readonly #session = randomUUID();
  readonly #replies = new Map<string, (message: WireMessage) => void>();
  readonly #published = new Map<string, { messages: WireMessage[]; idle(): void; onPublished: ((message: WireMessage) => void) | undefined }>();

  private constructor(child: ChildProcess, folder: string, key: string) {
    this.process = child;
    this.#folder = folder;
    this.#key = key;
  }

  /** Starts the kernel in `cwd` and waits until it answers on all sockets. */
  static async start(options: { kernelJson: string; cwd: string; env?: NodeJS.ProcessEnv }): Promise<KernelClient> {
    const folder = await mkdtemp(path.join(tmpdir(), 'kernel-client-'));
    const [shell_port, control_port, iopub_port, stdin_port, hb_port] = await freePorts(5);
    const key = randomUUID();
    const connectionFile = path.join(folder, 'connection.json');
    const connection = { transport: 'tcp', ip: '127.0.0.1', key, signature_scheme: 'hmac-sha256', shell_port, control_port, iopub_port, stdin_port, hb_port };
    await writeFile(connectionFile, JSON.stringify(connection));
    const { argv } = JSON.parse(await readFile(options.kernelJson, 'utf8')) as { argv: string[] };
    const [command, ...args] = argv.map((word) => word.replace('{connection_file}', connectionFile));
    const child = spawn(command!, args, { cwd: options.cwd, env: { ...process.env, ...options.env }, stdio: ['ignore', 'inherit', 'inherit'] });
    const client = new KernelClient(child, folder, key);
    client.#shell.connect(`tcp://127.0.0.1:${shell_port}`);
    client.#control.connect(`tcp://127.0.0.1:${control_port}`);
    client.#iopub.connect(`tcp://127.0.0.1:${iopub_port}`);
    client.#iopub.subscribe();
    void client.#receive(client.#shell);
    void client.#receive(client.#control);
    void client.#receivePublished();
    await client.#untilSubscribed();
    return client;
  }

  /** Sends an execute request at once; resolves when both the reply and `idle` are there. */
  async execute(code: string, options: { stopOnError?: boolean; deadlineMs?: number; onPublished?(message: WireMessage): void } = {}): Promise<CellResult> {
    const content = { code, silent: false, store_history: true, user_expressions: {}, allow_stdin: false, stop_on_error: options.stopOnError ?? true };
    const { reply, published } = await this.request('execute_request', content, options);
    const text = (name: string): string =>
      published
        .filter((m) => m.header.msg_type === 'stream' && m.content['name'] === name)
        .map((m) => m.content['text'])
        .join('');
    const error = published.find((m) => m.header.msg_type === 'error')?.content as CellResult['error'];
    const displays = published.filter((m) => m.header.msg_type === 'display_data').map((m) => m.content['data'] as Record<string, unknown>);
    return { reply, published, stdout: text('stdout'), stderr: text('stderr'), displays, ...(error ? { error } : {}) };
  }

  async request(
    type: string,
    content: Record<string, unknown>,
    options: { deadlineMs?: number; control?: boolean; onPublished?(message: WireMessage): void } = {},
  ): Promise<{ reply: WireMessage; published: WireMessage[] }> {
    const id = randomUUID();
    const messages: WireMessage[] = [];
    const reply = new Promise<WireMessage>((resolve) => this.#replies.set(id, resolve));
    const idle = new Promise<void>((resolve) => this.#published.set(id, { messages, idle: resolve, onPublished: options.onPublished }));
    const header = { msg_id: id, msg_type: type, session: this.#session, username: 'learner', date: new Date().toISOString(), version: '5.3' };
    const socket = options.control ? this.#control : this.#shell;
    await socket.send(encodeWireMessage({ identities: [], header, parent: {}, metadata: {}, content }, this.#key));
    try {
      const [answer] = await within(Promise.all([reply, idle]), options.deadlineMs ?? 60_000, `${type} was not answered`);
      return { reply: answer, published: messages };
    } finally {
      this.#replies.delete(id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of [this.#shell, this.#control, this.#iopub]) if (!socket.closed) socket.close();
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const ended = new Promise((resolve) => this.process.once('exit', resolve));
      this.process.kill('SIGKILL');
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** A subscriber may miss what is published before its subscription arrives: ask until an `idle` comes through. */
  async #untilSubscribed(): Promise<void> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      if (this.process.exitCode !== null) throw new Error(`the kernel ended with exit code ${this.process.exitCode}`);
      const answered = await this.request('kernel_info_request', {}, { deadlineMs: 1000 }).catch(() => undefined);
      if (answered) return;
      if (Date.now() > deadline) throw new Error('the kernel did not become ready');
    }
  }

  async #receive(socket: Dealer): Promise<void> {
    for await (const frames of socket) {
      const message = decodeWireMessage(frames, this.#key);
      this.#replies.get(message.parent.msg_id ?? '')?.(message);
    }
  }

  async #receivePublished(): Promise<void> {
    for await (const frames of this.#iopub) {
      const message = decodeWireMessage(frames, this.#key);
      const request = this.#published.get(message.parent.msg_id ?? '');
      request?.messages.push(message);
      request?.onPublished?.(message);
      if (message.header.msg_type === 'status' && message.content['execution_state'] === 'idle') request?.idle();
    }
  }
}

async function within<T>(promise: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`${message} within ${ms} ms`)), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ports that were free a moment ago, all different since all are held at once. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
