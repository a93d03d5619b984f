import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import type { StateLayout } from '../controlplane/stateLayout.ts';
import { ClusterView, loadLabs } from '../validation/index.ts';
import { createApp } from './app.ts';
import { EventStream } from './eventStream.ts';
import { LabService } from './labService.ts';
import { ProgressStore } from './progressStore.ts';
import { TopologyWatch } from './topologyWatch.ts';

export interface Backend {
  socket: string;
  token: string;
  close(): Promise<void>;
}

/** Starts the backend on a Unix socket that only its user can open, and writes `run/backend.json` {socket, token, pid}. */
export async function startBackend(options: { layout: StateLayout; kubeconfig: string; labsDir: string; version: string }): Promise<Backend> {
  const { layout } = options;
  const cluster = ClusterView.fromKubeconfig(options.kubeconfig);
  const events = new EventStream();
  const progress = await ProgressStore.open(layout.progress);
  const labs = new LabService({ labs: await loadLabs(options.labsDir), cluster, progress, publish: (event) => events.publish(event) });
  const topology = new TopologyWatch({
    cluster,
    watched: () => events.clients > 0,
    onChange: (snapshot) => events.publish({ type: 'topology', topology: snapshot }),
  });
  const token = randomBytes(32).toString('base64url');
  const server = http.createServer(createApp({ token, version: options.version, kubeconfig: options.kubeconfig, labs, cluster, events }));
  // Checks and solutions may take minutes; the deadlines are theirs.
  server.requestTimeout = 0;

  const socket = path.join(layout.sockets, 'backend.sock');
  await mkdir(layout.sockets, { recursive: true, mode: 0o700 });
  await mkdir(layout.run, { recursive: true, mode: 0o700 });
  await rm(socket, { force: true });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socket, resolve));
  await chmod(socket, 0o600);
  const record = path.join(layout.run, 'backend.json');
  await writeFile(record, JSON.stringify({ socket, token, pid: process.pid }), { mode: 0o600 });

  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    topology.close();
    events.close();
    await labs.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await rm(record, { force: true });
  };
  return { socket, token, close: () => (closed ??= close()) };
}
