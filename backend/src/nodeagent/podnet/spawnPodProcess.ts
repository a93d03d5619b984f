import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { exitRecordFile } from './exitRecord.ts';
import { encodeSpec, type Directive } from './podinit.ts';
import type { ExitStatus, PodProcess, ProcessSpec } from './podNet.ts';
import { PodStartError } from './podNetError.ts';
import { isAlive, processStat } from './processStat.ts';

export interface PodProcessOptions {
  /** The podinit program. */
  program: string;
  /** Marks the process as this sandbox's in process listings. */
  marker: string;
  /** What the driver adds: namespaces, root, mounts. */
  directives: readonly Directive[];
  spec: ProcessSpec;
  /** The program is the first process of a process namespace of its own. */
  ownsNamespace: boolean;
}

/** Starts a program through `podinit run` and resolves when it was exec'ed. */
export async function spawnPodProcess(options: PodProcessOptions): Promise<PodProcess> {
  const { spec } = options;
  const { detached, tty } = spec;
  const exitFile = detached === undefined ? '-' : exitRecordFile(detached.stdoutFile);
  if (detached !== undefined) rmSync(exitFile, { force: true });
  const files = detached === undefined ? [] : [openSync(detached.stdoutFile, 'a'), openSync(detached.stderrFile, 'a')];
  let child: ChildProcess;
  try {
    child = spawn(options.program, ['run', options.marker, exitFile], {
      // A session of its own: the agent's terminal and its signals are not the pod's.
      detached: true,
      cwd: '/',
      env: {},
      stdio: [
        spec.stdin === true || tty !== undefined ? 'pipe' : 'ignore',
        files[0] ?? 'pipe',
        files[1] ?? 'pipe',
        'pipe',
        'pipe',
        tty === undefined ? 'ignore' : 'pipe',
      ],
    });
  } finally {
    for (const file of files) closeSync(file);
  }
  const [, , , specPipe, statusPipe, resizePipe] = child.stdio as unknown as Duplex[];
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) => reject(new PodStartError(`podinit did not start: ${cause.message}`, { cause })));
  });
  const report = readReport(child, statusPipe as Duplex);
  // The program, and podinit, may end before they have read everything, a terminal's last size among it; the report says how they ended.
  for (const pipe of child.stdio) pipe?.on('error', () => {});
  specPipe?.end(encodeSpec([...options.directives, ...programDirectives(spec)]));
  const started = await Promise.race([report.started, failed]);
  const pid = child.pid as number;
  const startTime = processStat(pid)?.startTime ?? 0;
  if (detached !== undefined) {
    child.unref();
    (statusPipe as unknown as { unref(): void }).unref();
  }
  return {
    pid,
    startTime,
    ...(child.stdin === null ? {} : { stdin: child.stdin }),
    ...(child.stdout === null ? {} : { stdout: child.stdout }),
    ...(child.stderr === null ? {} : { stderr: child.stderr }),
    exited: report.exited,
    kill: (signal) => signalPodProcess({ pid, startTime }, signal, options.ownsNamespace ? started : -started),
    ...(tty === undefined ? {} : { resize: (columns: number, rows: number) => void resizePipe?.write(`${columns} ${rows}\n`) }),
  };
}

/** SIGKILL goes around podinit, which cannot catch it and shall live to report it. */
export function signalPodProcess(identity: { pid: number; startTime: number }, signal: NodeJS.Signals, killTarget: number): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(signal === 'SIGKILL' ? killTarget : identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function programDirectives(spec: ProcessSpec): Directive[] {
  return [
    ...(spec.tty === undefined ? [] : [['tty', spec.tty.columns, spec.tty.rows] as const]),
    ...(spec.detached === undefined ? [['tied'] as const, ['relay'] as const] : []),
    ['cwd', spec.cwd],
    ...spec.argv.map((word) => ['arg', word] as const),
    ...Object.entries(spec.env).map(([name, value]) => ['env', `${name}=${value}`] as const),
  ];
}

interface Report {
  /** Host pid of the first process inside. */
  started: Promise<number>;
  exited: Promise<ExitStatus>;
}

function readReport(child: ChildProcess, status: Duplex): Report {
  const started = Promise.withResolvers<number>();
  const exited = Promise.withResolvers<ExitStatus>();
  started.promise.catch(() => {});
  let reported: ExitStatus | undefined;
  const lines = createInterface({ input: status });
  lines.on('line', (line) => {
    const [word = '', ...rest] = line.split(' ');
    if (word === 'started') started.resolve(Number(rest[0]));
    else if (word === 'exit') {
      const signal = Number(rest[1]);
      reported = { exitCode: Number(rest[0]), ...(signal === 0 ? {} : { signal }) };
    } else started.reject(new PodStartError(rest.join(' ')));
  });
  child.once('close', () => child.stdin?.destroy());
  child.once('exit', (code, signal) => {
    // Only now is nothing of it left. The report, if there is one, is in the pipe; without one podinit itself was killed.
    const finish = (): void => {
      started.reject(new PodStartError(`podinit ended with ${signal ?? `code ${code}`} before the program started`));
      exited.resolve(reported ?? (signal === null ? { exitCode: code ?? 1 } : { exitCode: 137, signal: 9 }));
    };
    if (status.readableEnded || status.destroyed) finish();
    else lines.once('close', finish);
  });
  return { started: started.promise, exited: exited.promise };
}
