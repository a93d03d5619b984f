import { Publisher, Reply, Router } from 'zeromq';

import type { CellError } from './cellError.ts';
import type { CellRunner } from './cellRunner.ts';
import { ExecutionQueue } from './executionQueue.ts';
import { languageInfo } from './languageInfo.ts';
import type { TslabModules } from './tslabModules.ts';
import { decodeWireMessage, encodeWireMessage, replyTo } from './wireMessage.ts';
import type { WireMessage } from './wireMessage.ts';

/** Jupyter's connection file. */
export interface ConnectionInfo {
  transport: string;
  ip: string;
  key: string;
  shell_port: number;
  control_port: number;
  iopub_port: number;
  stdin_port: number;
  hb_port: number;
}

export interface KernelServerOptions {
  connection: ConnectionInfo;
  tslab: TslabModules;
  runner: CellRunner;
  /** Called once the answer to a shutdown request is sent. */
  onShutdown(): void;
}

/** The five sockets of a Jupyter kernel (messaging protocol 5.3) in front of a cell runner. */
export class KernelServer {
  readonly #o: KernelServerOptions;
  readonly #queue = new ExecutionQueue();
  /** `sendTimeout: 0` takes zeromq's synchronous path: any number of messages in one tick, none lost. */
  readonly #iopub = new Publisher({ sendTimeout: 0, sendHighWaterMark: 0, linger: 1000 });
  readonly #shell = new Router({ sendTimeout: 0, sendHighWaterMark: 0, linger: 1000 });
  readonly #control = new Router({ sendTimeout: 0, sendHighWaterMark: 0, linger: 1000 });
  readonly #stdin = new Router({ linger: 0 });
  readonly #heartbeat = new Reply({ linger: 0 });
  #executions = 0;

  constructor(options: KernelServerOptions) {
    this.#o = options;
  }

  async listen(): Promise<void> {
    const { connection: c } = this.#o;
    const address = (port: number): string => (c.transport === 'ipc' ? `ipc://${c.ip}-${port}` : `${c.transport}://${c.ip}:${port}`);
    await Promise.all([
      this.#iopub.bind(address(c.iopub_port)),
      this.#shell.bind(address(c.shell_port)),
      this.#control.bind(address(c.control_port)),
      this.#stdin.bind(address(c.stdin_port)),
      this.#heartbeat.bind(address(c.hb_port)),
    ]);
    void this.#serve(this.#shell);
    void this.#serve(this.#control);
    void this.#echo();
  }

  close(): void {
    for (const socket of [this.#iopub, this.#shell, this.#control, this.#stdin, this.#heartbeat]) if (!socket.closed) socket.close();
  }

  async #serve(socket: Router): Promise<void> {
    for await (const frames of socket) {
      try {
        void this.#handle(socket, decodeWireMessage(frames, this.#o.connection.key));
      } catch (error) {
        this.#o.runner.reportLateError(error);
      }
    }
  }

  async #echo(): Promise<void> {
    for await (const frames of this.#heartbeat) await this.#heartbeat.send(frames);
  }

  async #handle(socket: Router, request: WireMessage): Promise<void> {
    const type = request.header.msg_type;
    if (type === 'execute_request') return await this.#execute(socket, request);
    this.#status('busy', request);
    try {
      const content = this.#answer(type, request.content);
      if (content) this.#send(socket, replyTo(request, type.replace(/_request$/, '_reply'), content));
    } catch (error) {
      this.#send(socket, replyTo(request, type.replace(/_request$/, '_reply'), { status: 'error', ename: 'Error', evalue: String(error), traceback: [] }));
    } finally {
      this.#status('idle', request);
    }
    if (type === 'shutdown_request') this.#o.onShutdown();
  }

  #answer(type: string, content: Record<string, unknown>): Record<string, unknown> | undefined {
    const code = String(content['code'] ?? '');
    const position = Number(content['cursor_pos'] ?? 0);
    switch (type) {
      case 'kernel_info_request':
        return this.#kernelInfo();
      case 'is_complete_request': {
        const { completed, indent } = this.#o.tslab.isCompleteCode(code);
        return completed ? { status: 'complete' } : { status: 'incomplete', indent: indent ?? '' };
      }
      case 'inspect_request': {
        const info = this.#o.runner.inspect(code, position);
        return { status: 'ok', found: Boolean(info), data: info ? { 'text/plain': this.#o.tslab.printQuickInfo(info) } : {}, metadata: {} };
      }
      case 'complete_request': {
        const { start, end, candidates } = this.#o.runner.complete(code, position);
        return { status: 'ok', matches: candidates, cursor_start: start, cursor_end: end, metadata: {} };
      }
      case 'comm_info_request':
        return { status: 'ok', comms: {} };
      case 'history_request':
        return { status: 'ok', history: [] };
      case 'shutdown_request':
        return { status: 'ok', restart: content['restart'] === true };
      case 'interrupt_request':
        process.kill(process.pid, 'SIGINT');
        return { status: 'ok' };
      default:
        return undefined;
    }
  }

  #kernelInfo(): Record<string, unknown> {
    const { tslab, typescript, node } = this.#o.tslab.versions;
    return {
      status: 'ok',
      protocol_version: '5.3',
      implementation: 'tslab',
      implementation_version: tslab,
      language_info: languageInfo,
      banner: `TypeScript ${typescript} (tslab ${tslab}, Node ${node.replace(/^v/, '')}), strict`,
      help_links: [{ text: 'TypeScript handbook', url: 'https://www.typescriptlang.org/docs/handbook/' }],
    };
  }

  async #execute(socket: Router, request: WireMessage): Promise<void> {
    const code = String(request.content['code'] ?? '');
    const silent = request.content['silent'] === true;
    const publish = (type: string, content: Record<string, unknown>): void => this.#publish(request, type, content);
    let failure: CellError | undefined;
    await this.#queue.add({
      stopOnError: request.content['stop_on_error'] !== false,
      run: async () => {
        this.#status('busy', request);
        if (!silent) publish('execute_input', { code, execution_count: ++this.#executions });
        failure = await this.#o.runner.run(code, {
          stream: (name, text) => publish('stream', { name, text }),
          display: (content, update) => publish(update ? 'update_display_data' : 'display_data', content),
        });
        return failure === undefined;
      },
      report: (outcome) => {
        const execution_count = this.#executions;
        if (outcome === 'error') publish('error', { ...failure });
        if (outcome === 'aborted') this.#status('busy', request);
        const content =
          outcome === 'error' ? { status: 'error', execution_count, ...failure } : { status: outcome, execution_count, user_expressions: {}, payload: [] };
        this.#send(socket, replyTo(request, 'execute_reply', content));
        this.#status('idle', request);
      },
    });
  }

  #status(execution_state: 'busy' | 'idle', parent: WireMessage): void {
    this.#publish(parent, 'status', { execution_state });
  }

  #publish(parent: WireMessage, type: string, content: Record<string, unknown>): void {
    const message = replyTo(parent, type, content);
    if (!this.#iopub.closed) void this.#iopub.send(encodeWireMessage({ ...message, identities: [Buffer.from(type)] }, this.#o.connection.key));
  }

  #send(socket: Router, message: WireMessage): void {
    if (!socket.closed) void socket.send(encodeWireMessage(message, this.#o.connection.key)).catch((error: unknown) => this.#o.runner.reportLateError(error));
  }
}
