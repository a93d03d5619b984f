import { AsyncLocalStorage } from 'node:async_hooks';
import { inspect } from 'node:util';

import { diagnosticsError, thrownError } from './cellError.ts';
import type { CellError } from './cellError.ts';
import { OutputStream } from './outputStream.ts';
import type { TslabDiagnostic, TslabExecutor, TslabModules } from './tslabModules.ts';

/** Where the messages of one cell go. */
export interface CellOutput {
  stream(name: 'stdout' | 'stderr', text: string): void;
  display(content: Record<string, unknown>, update: boolean): void;
}

/** Objects with this method show themselves as the MIME bundle it returns when they are a cell's last expression; `undefined`: shown already. */
const displaySymbol = Symbol.for('Jupyter.display');

/**
 * Type-checks and runs cells in one tslab executor. Output that arrives after its cell has ended (timers, child
 * processes) still belongs to that cell: the asynchronous context carries it.
 */
export class CellRunner {
  readonly #executor: TslabExecutor;
  readonly #cells = new AsyncLocalStorage<RunningCell>();
  #last: RunningCell | undefined;

  constructor(tslab: TslabModules) {
    const converter = tslab.createConverter({ isJS: false, isBrowser: false });
    const convert = converter.convert;
    converter.convert = (previous, source) => {
      const result = convert(previous, source);
      // Only what is run is expanded: places in diagnostics stay those of the cell.
      const expanded = result.diagnostics.length === 0 ? tslab.expandShorthandProperties(source) : source;
      if (expanded !== source) {
        const { output, lastExpressionVar } = convert(previous, expanded);
        Object.assign(result, { output, lastExpressionVar });
      }
      // tslab finds top-level await by one diagnostic only and so misses `await (x)` and `for await`.
      if (result.output !== undefined && /\bawait\b/.test(result.output)) result.hasToplevelAwait = true;
      const cell = this.#current();
      if (cell) cell.diagnostics = result.diagnostics;
      return result;
    };
    this.#executor = tslab.createExecutor(
      process.cwd(),
      { node: converter, browser: converter, close: () => converter.close() },
      {
        log: (value) => this.#showValue(value),
        error: (...values) => {
          const cell = this.#current();
          if (cell && cell.diagnostics.length === 0) cell.thrown ??= { value: values[0] };
        },
      },
    );
    tslab.setDisplayWriter((content, update) => this.#display(content, update));
    process.stdout.write = this.#writer('stdout');
    process.stderr.write = this.#writer('stderr');
  }

  /** Resolves with what went wrong, or `undefined`. Never rejects. */
  async run(source: string, output: CellOutput): Promise<CellError | undefined> {
    const cell: RunningCell = { output, stream: new OutputStream((name, text) => output.stream(name, text)), diagnostics: [], thrown: undefined };
    this.#last = cell;
    try {
      const ok = await this.#cells.run(cell, () => this.#executor.execute(source));
      if (ok) return undefined;
      return cell.diagnostics.length > 0 ? diagnosticsError(cell.diagnostics, source) : thrownError(cell.thrown?.value);
    } catch (error) {
      return thrownError(error);
    } finally {
      cell.stream.flush();
    }
  }

  /** An error outside any await of a cell: shown below the cell that started the work. */
  reportLateError(error: unknown): void {
    const { traceback } = thrownError(error);
    this.#current()?.stream.write('stderr', `Not awaited by any cell: ${traceback.join('\n')}\n`);
  }

  inspect(source: string, position: number): unknown {
    return this.#executor.inspect(source, position);
  }

  complete(source: string, position: number): { start: number; end: number; candidates: string[] } {
    return this.#executor.complete(source, position);
  }

  /** Ends the await of the running cell; a blocking cell is ended by the SIGINT itself. */
  interrupt(): void {
    this.#executor.interrupt();
  }

  close(): void {
    this.#executor.close();
  }

  #current(): RunningCell | undefined {
    return this.#cells.getStore() ?? this.#last;
  }

  #display(content: Record<string, unknown>, update: boolean): void {
    const cell = this.#current();
    cell?.stream.flush();
    cell?.output.display(content, update);
  }

  #showValue(value: unknown): void {
    const show = typeof value === 'object' && value !== null ? (value as Record<symbol, unknown>)[displaySymbol] : undefined;
    if (typeof show === 'function') {
      const data: unknown = show.call(value);
      if (data !== undefined) this.#display({ data, metadata: {}, transient: {} }, false);
    } else this.#current()?.stream.write('stdout', `${typeof value === 'string' ? value : inspect(value, { colors: true })}\n`);
  }

  #writer(name: 'stdout' | 'stderr'): typeof process.stdout.write {
    return (chunk: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean => {
      const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      this.#current()?.stream.write(name, text);
      const done = typeof encoding === 'function' ? encoding : callback;
      if (typeof done === 'function') process.nextTick(done);
      return true;
    };
  }
}

interface RunningCell {
  output: CellOutput;
  stream: OutputStream;
  diagnostics: TslabDiagnostic[];
  thrown: { value: unknown } | undefined;
}
