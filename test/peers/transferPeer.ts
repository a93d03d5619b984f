import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface, type Interface } from 'node:readline';

/** Another transfer engine that the benchmark compares with, where it is installed. */
export type PeerEngine = 'nixl' | 'mooncake';

const engines = {
  nixl: {
    variable: 'DYNAMO_LABS_NIXL_PYTHON',
    imports: 'numpy, nixl_cu12',
    install: 'a Python with `pip install numpy` and `pip install --no-deps nixl-cu12==1.5.1`',
  },
  mooncake: {
    variable: 'DYNAMO_LABS_MOONCAKE_PYTHON',
    imports: 'numpy, mooncake.engine',
    install: 'a Python with `pip install numpy mooncake-transfer-engine-non-cuda==0.3.13.post1`; Debian: apt install libibverbs1 libnl-3-200 libnl-route-3-200',
  },
} satisfies Record<PeerEngine, { variable: string; imports: string; install: string }>;

/** The Python that has the engine, or why it is skipped and how to install it. */
export function transferPython(engine: PeerEngine): { python: string } | { missing: string } {
  const { variable, imports, install } = engines[engine];
  const python = process.env[variable];
  if (!python) return { missing: `${variable} is not set (${install})` };
  try {
    execFileSync(python, ['-c', `import ${imports}`], { stdio: 'pipe', timeout: 60_000 });
    return { python };
  } catch (error) {
    return { missing: `${python} cannot import ${imports}: ${error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error)} (${install})` };
  }
}

/** Two processes of another engine: an owner and a reader with `bytes` of memory each. Not measured, they can stand still, for some of their threads never rest. */
export class TransferPeer implements AsyncDisposable {
  readonly #owner: PythonEnd;
  readonly #reader: PythonEnd;

  private constructor(owner: PythonEnd, reader: PythonEnd) {
    this.#owner = owner;
    this.#reader = reader;
  }

  static async start(options: { engine: PeerEngine; python: string; bytes: number; env?: Record<string, string>; signal: AbortSignal }): Promise<TransferPeer> {
    const owner = new PythonEnd('owner', options);
    const reader = new PythonEnd('reader', options);
    const peer = new TransferPeer(owner, reader);
    try {
      const where = await owner.next<unknown>();
      await reader.next();
      await reader.ask({ do: 'meet', owner: where });
      return peer;
    } catch (error) {
      await peer[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** `pieces`: triples of offset at the owner, offset at the reader, length. */
  async list(name: string, pieces: Float64Array): Promise<void> {
    await this.#reader.ask({ do: 'list', name, pieces: [...pieces] });
  }
  /** Seconds, measured inside the reader, around nothing but the transfer. */
  async read(name: string): Promise<number> {
    return (await this.#reader.ask<{ seconds: number }>({ do: 'read', name })).seconds;
  }
  /** How many pieces of the list are not what the owner has. Forgets what was read. */
  async check(name: string): Promise<number> {
    return (await this.#reader.ask<{ wrong: number }>({ do: 'check', name })).wrong;
  }
  standStill(still: boolean): void {
    for (const end of [this.#owner, this.#reader]) end.child.kill(still ? 'SIGSTOP' : 'SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.end();
    await this.#owner.end();
  }
}

class PythonEnd {
  readonly child: ChildProcess;
  readonly #reader: Interface;
  readonly #lines: AsyncIterator<string>;
  readonly #what: string;
  #said = '';

  constructor(role: 'owner' | 'reader', options: { engine: PeerEngine; python: string; bytes: number; env?: Record<string, string>; signal: AbortSignal }) {
    const script = path.join(import.meta.dirname, 'transfer_peer.py');
    this.#what = `${options.engine} ${role}`;
    this.child = spawn(options.python, [script, options.engine, role, String(options.bytes)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      signal: options.signal,
      killSignal: 'SIGKILL',
    });
    this.child.on('error', (error) => (this.#said += error.message));
    this.child.stdin!.on('error', () => {}); // seen by whoever waits for the answer
    this.child.stderr!.on('data', (bytes: Buffer) => (this.#said = (this.#said + bytes.toString()).slice(-2000)));
    this.#reader = createInterface({ input: this.child.stdout! });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async next<T>(): Promise<T> {
    const line = await this.#lines.next();
    if (line.done) throw new Error(`${this.#what} ended: ${this.#said.trim().split('\n').slice(-3).join(' | ')}`);
    return JSON.parse(line.value) as T;
  }
  ask<T>(command: unknown): Promise<T> {
    this.child.stdin!.write(`${JSON.stringify(command)}\n`);
    return this.next<T>();
  }
  async end(): Promise<void> {
    this.#reader.close();
    if (this.child.pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL'); // also where it stands still
    await once(this.child, 'exit');
  }
}
