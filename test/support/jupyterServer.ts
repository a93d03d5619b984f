import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { buildExtension, installExtension } from '../../extension/build.mjs';
import { installKernel } from '../../labs/kernel/install.mjs';
import { buildKit } from '../../labs/kit/build.mjs';

/** A real JupyterLab of the project's environment, on a port of its own, with config and data of its own. */
export class JupyterServer implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly token: string;
  readonly url: string;
  /** Its log so far, for messages of failed tests. */
  readonly log: string[];

  private constructor(child: ChildProcess, fields: { token: string; url: string; log: string[] }) {
    this.process = child;
    this.token = fields.token;
    this.url = fields.url;
    this.log = fields.log;
  }

  /** `home` becomes DYNAMO_LABS_HOME; notebooks are served from `<home>/work`. */
  static async start(options: { home: string; env?: NodeJS.ProcessEnv; baseUrl?: string }): Promise<JupyterServer> {
    const project = path.resolve(import.meta.dirname, '../..');
    const venv = path.join(project, '.venv');
    const python = path.join(venv, 'bin', 'python');
    if (!existsSync(python)) throw new Error(`${venv} is missing: \`npm test\` makes it before it runs tests`);
    buildKit();
    buildExtension();
    installExtension({ prefix: venv });
    installKernel({ prefix: venv });
    const runtime = path.join(options.home, 'jupyter', 'runtime');
    const work = path.join(options.home, 'work');
    await mkdir(runtime, { recursive: true });
    await mkdir(work, { recursive: true });
    const token = 'learner-token';
    const own = {
      JUPYTER_CONFIG_DIR: path.join(options.home, 'jupyter', 'config'),
      JUPYTER_DATA_DIR: path.join(options.home, 'jupyter', 'data'),
      JUPYTER_RUNTIME_DIR: runtime,
    };
    const args = [
      ...['-m', 'jupyterlab', '--no-browser', '--ServerApp.ip=127.0.0.1', '--ServerApp.port=0', '--allow-root'],
      ...[
        `--IdentityProvider.token=${token}`,
        `--ServerApp.root_dir=${work}`,
        `--ServerApp.base_url=${options.baseUrl ?? '/'}`,
        '--LabApp.expose_app_in_browser=True',
      ],
    ];
    const child = spawn(python, args, {
      cwd: work,
      env: { ...process.env, ...own, ...options.env, DYNAMO_LABS_HOME: options.home },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => log.push(String(chunk)));
    const deadline = Date.now() + 120_000;
    for (;;) {
      const record = (await readdir(runtime)).find((name) => /^jpserver-\d+\.json$/.test(name));
      const { url } = record ? (JSON.parse((await readFile(path.join(runtime, record), 'utf8')) || '{}') as { url?: string }) : {};
      const ready = url !== undefined && (await fetch(new URL(`api/status?token=${token}`, url)).catch(() => undefined))?.ok;
      if (ready) return new JupyterServer(child, { token, url, log });
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`JupyterLab did not start:\n${log.join('').slice(-4000)}`);
      }
      await sleep(100);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    // Twice: at once and without asking.
    this.process.kill('SIGTERM');
    const late = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(late);
  }
}
