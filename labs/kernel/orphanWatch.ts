import { Worker } from 'node:worker_threads';

/**
 * Ends this process when its parent is gone. In a thread of its own, so that a kernel in an endless loop does not
 * outlive Jupyter either.
 */
export function endWithParent(): void {
  const source = `
    const { ppid } = process;
    setInterval(() => { if (process.ppid !== ppid) process.kill(process.pid, 'SIGKILL'); }, 1000);
  `;
  new Worker(source, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 16 } }).unref();
}
