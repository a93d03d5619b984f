const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/**
 * One line per step: what, what it waits for, how long it took. On a terminal the line of a running step counts its
 * seconds; elsewhere a step that takes longer than two seconds says so once.
 */
export class Progress {
  #stream;
  /** @type {Map<string, { began: number, waitsFor: string, announced: boolean, note: string }>} */
  #running = new Map();
  #timer;
  #frame = 0;

  constructor(stream = process.stdout) {
    this.#stream = stream;
  }

  /** @param {string} step @param {string} waitsFor */
  begin(step, waitsFor) {
    this.#running.set(step, { began: performance.now(), waitsFor, announced: false, note: '' });
    this.#timer ??= setInterval(() => this.#tick(), this.#stream.isTTY ? 120 : 500).unref();
  }

  /** Changes what a running step says it waits for. @param {string} step @param {string} note */
  note(step, note) {
    const entry = this.#running.get(step);
    if (entry !== undefined) entry.note = note;
  }

  /** @param {string} step @param {string} [result] */
  end(step, result) {
    this.#close(step, '✓', result);
  }

  /** @param {string} step */
  fail(step) {
    this.#close(step, '✗');
  }

  /** A line of its own, above the running step. @param {string} text */
  line(text) {
    this.#erase();
    this.#stream.write(`${text}\n`);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  /** @param {string} step @param {string} mark @param {string} [result] */
  #close(step, mark, result) {
    const entry = this.#running.get(step);
    if (entry === undefined) return;
    this.#running.delete(step);
    this.line(`  ${mark} ${step.padEnd(26)} ${seconds(performance.now() - entry.began).padStart(7)}${result === undefined ? '' : `   ${result}`}`);
    if (this.#running.size === 0) this.stop();
  }

  #tick() {
    const [first] = this.#running;
    if (first === undefined) return;
    if (this.#stream.isTTY) {
      const [step, { began, waitsFor, note }] = first;
      const others = this.#running.size > 1 ? ` (and ${[...this.#running.keys()].slice(1).join(', ')})` : '';
      const line = `  ${frames[this.#frame++ % frames.length]} ${step.padEnd(26)} ${seconds(performance.now() - began).padStart(7)}   ${note || `waits for ${waitsFor}`}${others}`;
      this.#stream.write(`\r\x1b[2K${line.slice(0, (this.#stream.columns ?? 80) - 1)}`);
      return;
    }
    for (const [step, entry] of this.#running) {
      if (entry.announced || performance.now() - entry.began < 2_000) continue;
      entry.announced = true;
      this.#stream.write(`  … ${step}: waits for ${entry.waitsFor}\n`);
    }
  }

  #erase() {
    if (this.#stream.isTTY) this.#stream.write('\r\x1b[2K');
  }
}

/** @param {number} ms */
function seconds(ms) {
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}
