import { randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort, PortBusyError } from './freePort.ts';
import { copyNotebooks } from './notebooks.ts';
import { writePrivateFile } from './privateFile.ts';
import type { ProcessSpec } from './processSpec.ts';
import { httpProbe } from './probes.ts';
import { programEnv } from './programSpecs.ts';
import { pythonBin } from './projectPaths.ts';
import type { StateLayout } from './stateLayout.ts';

export interface Jupyter {
  spec: ProcessSpec;
  /** Opens the first lab; holds the token. */
  url: string;
}

export interface JupyterOptions {
  layout: StateLayout;
  kubectl: string;
  /** Added to its environment; `DYNAMO_LABS_JUPYTER_PORT` demands a port. */
  env: Record<string, string>;
  /** Taken where it is free and nothing else is demanded. */
  usualPort: number | undefined;
}

/**
 * JupyterLab on loopback with its own token. Its configuration, settings, workspaces and run-time files lie in the state
 * folder: the person's own Jupyter is neither read nor changed. Port and token stay the same over restarts, so that an open
 * browser tab connects again.
 */
export async function prepareJupyter(options: JupyterOptions): Promise<Jupyter> {
  const { layout, kubectl, env } = options;
  const { port, token } = await address(options);
  const dir = path.join(layout.home, 'jupyter');
  const config = path.join(dir, 'config');
  await mkdir(config, { recursive: true, mode: 0o700 });
  await writePrivateFile(path.join(config, 'jupyter_server_config.json'), JSON.stringify(serverConfig(layout, port, token, env), null, 1));
  const labs = await copyNotebooks(layout);
  const first = labs[0];
  return {
    url: `http://127.0.0.1:${port}/lab${first === undefined ? '' : `/tree/${first}/lab.ipynb`}?token=${token}`,
    spec: {
      name: 'jupyter',
      argv: [path.join(pythonBin, 'python'), '-m', 'jupyterlab'],
      env: {
        ...programEnv(layout, kubectl, layout.kubeconfig, env),
        JUPYTER_CONFIG_DIR: config,
        JUPYTER_DATA_DIR: path.join(dir, 'data'),
        JUPYTER_RUNTIME_DIR: path.join(dir, 'runtime'),
        JUPYTERLAB_SETTINGS_DIR: path.join(dir, 'settings'),
        JUPYTERLAB_WORKSPACES_DIR: path.join(dir, 'workspaces'),
        IPYTHONDIR: path.join(dir, 'ipython'),
      },
      cwd: layout.work,
      logFile: path.join(layout.logs, 'jupyter.log'),
      ports: [port],
      stage: 4,
      probe: httpProbe(`http://127.0.0.1:${port}/api`),
      readyTimeoutMs: 60_000,
      // Shuts its kernels and terminals down first.
      stopTimeoutMs: 10_000,
    },
  };
}

async function address({ layout, env, usualPort }: JupyterOptions): Promise<{ port: number; token: string }> {
  const file = path.join(layout.home, 'jupyter.json');
  const last = await readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as { port: number; token: string },
    () => undefined,
  );
  const wanted = Number(env['DYNAMO_LABS_JUPYTER_PORT'] ?? process.env['DYNAMO_LABS_JUPYTER_PORT'] ?? Number.NaN);
  const port = await freePort(Number.isInteger(wanted) ? wanted : (last?.port ?? usualPort));
  if (Number.isInteger(wanted) && port !== wanted) throw new PortBusyError(wanted, 'DYNAMO_LABS_JUPYTER_PORT');
  const token = last?.token ?? randomBytes(24).toString('hex');
  await writePrivateFile(file, JSON.stringify({ port, token }));
  return { port, token };
}

function serverConfig(layout: StateLayout, port: number, token: string, env: Record<string, string>): unknown {
  return {
    ServerApp: {
      ip: '127.0.0.1',
      port,
      port_retries: 0,
      open_browser: false,
      root_dir: layout.work,
      allow_root: process.getuid?.() === 0,
      // Its "Shut Down" entry would only make the supervisor start it again.
      quit_button: false,
      // A tool of the build: as a contents manager it would open every Markdown file as a notebook.
      jpserver_extensions: { jupyterlab_jupytext: false },
    },
    IdentityProvider: { token },
    // A test drives JupyterLab through `window.jupyterapp`.
    LabApp: { expose_app_in_browser: env['DYNAMO_LABS_EXPOSE_LAB'] === '1', check_for_updates_class: 'jupyterlab.NeverCheckForUpdate' },
    FileContentsManager: { delete_to_trash: false },
    MultiKernelManager: { default_kernel_name: 'tslab' },
  };
}
