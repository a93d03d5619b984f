/** MIME type → content. `text/plain` is always there, so that every viewer shows something. */
export interface MimeBundle {
  'text/plain': string;
  'text/html'?: string;
  'image/svg+xml'?: string;
}

/**
 * A value that shows itself: our kernel asks for `Jupyter.display`, plain tslab and `console.log` for the inspect symbol.
 * `undefined` means that the cell has already shown it.
 */
export abstract class Rich {
  abstract bundle(): MimeBundle | undefined;

  [Symbol.for('Jupyter.display')](): MimeBundle | undefined {
    return this.bundle();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.bundle()?.['text/plain'] ?? '';
  }
}

/** The same value, but nothing is shown when it is a cell's last expression: what there is to see was printed before. */
export function shownAlready<T extends object>(value: T): T {
  return Object.defineProperty(value, Symbol.for('Jupyter.display'), { value: () => undefined, enumerable: false });
}

/** A picture or table with nothing more to it. */
export class Picture extends Rich {
  private readonly mime: MimeBundle;

  constructor(mime: MimeBundle) {
    super();
    this.mime = mime;
  }

  override bundle(): MimeBundle {
    return this.mime;
  }
}

/** Shows a value in the middle of a cell; a cell's last expression is shown by itself. */
export function display(value: Rich): void {
  const data = value.bundle();
  if (data === undefined) return;
  const write = displayWriter();
  if (write) write({ data, metadata: {}, transient: {} }, false);
  else process.stdout.write(`${data['text/plain']}\n`);
}

/** tslab keeps the running cell's writer in its module `jupyter`, in our kernel and in the stock one. */
function displayWriter(): ((content: object, update: boolean) => void) | undefined {
  const file = Object.keys(require.cache).find((name) => /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/.test(name));
  const exported = file === undefined ? undefined : (require.cache[file]?.exports as { lastWriteDisplayData?: (content: object, update: boolean) => void });
  return exported?.lastWriteDisplayData ?? undefined;
}
