import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { defaultCredentials, KubeClient } from '../kube/index.ts';
import { nodeAddress, type AgentConfig } from './agentConfig.ts';
import { EventRecorder } from './events/eventRecorder.ts';
import { ImageCatalogue } from './images/imageCatalogue.ts';
import { ImagePuller } from './images/imagePuller.ts';
import type { Logger } from './logger.ts';
import { NodeController } from './node/nodeController.ts';
import { bootId, kubeletPort } from './node/nodeObject.ts';
import type { NodeContext } from './pods/nodeContext.ts';
import { PodManager } from './pods/podManager.ts';
import { loadRecords, removeRecord } from './pods/podRecord.ts';
import { ServiceWatch, startClusterDns, startServiceProxy, type PodNet } from './podnet/index.ts';
import { EgressServer } from './server/egressServer.ts';
import { KubeletServer } from './server/kubeletServer.ts';
import { ClaimProvisioner } from './storage/claimProvisioner.ts';
import { ensureStorageClasses } from './storage/storageClasses.ts';
import { sweepMemoryVolumes } from './volumes/memoryVolumes.ts';
import { ServiceAccountTokens } from './volumes/serviceAccountToken.ts';

/** All virtual nodes of this machine in one process, on one pod network. */
export class NodeAgent {
  readonly #config: AgentConfig;
  readonly #podNet: PodNet;
  readonly #log: Logger;
  readonly #client: KubeClient;
  readonly #recorder: EventRecorder;
  readonly #services: ServiceWatch;
  readonly #closers: (() => PromiseLike<unknown>)[] = [];
  readonly #nodes: { controller: NodeController; pods: PodManager; server: KubeletServer }[] = [];
  #stopped: Promise<void> | undefined;

  constructor(options: { config: AgentConfig; podNet: PodNet; log: Logger; client?: KubeClient }) {
    this.#config = options.config;
    this.#podNet = options.podNet;
    this.#log = options.log;
    this.#client = options.client ?? new KubeClient(defaultCredentials());
    this.#recorder = new EventRecorder(this.#client, (error) => this.#log.warn('event not recorded', error));
    this.#services = new ServiceWatch({ client: this.#client, onError: (error) => this.#log.warn('services', error) });
  }

  get client(): KubeClient {
    return this.#client;
  }

  /** Added to what `stop` closes, before the pods end. */
  onStop(close: () => PromiseLike<unknown>): void {
    this.#closers.push(close);
  }

  /** Starts the pod network, registers the nodes, takes over pods of an earlier agent, and says so in `<run>/node-agent.json`. */
  async start(signal: AbortSignal): Promise<void> {
    const { layout, nodes } = this.#config;
    for (const dir of [layout.run, layout.sockets, layout.transfer, layout.pods])
      await mkdir(dir, { recursive: true, mode: dir === layout.pods ? 0o711 : 0o700 });
    await mkdir(path.join(layout.cache, 'packed'), { recursive: true });
    await this.#podNet.start(signal);
    await this.#services.start();
    await this.#serveServices();
    await this.#provisionClaims();
    const { version } = await this.#client
      .json<{ version?: string; gitVersion: string }>({ path: '/version' })
      .then((answer) => ({ version: answer.gitVersion }));
    const { records, broken } = loadRecords(layout.pods);
    const images = new ImagePuller(this.#catalogue());
    const tokens = new ServiceAccountTokens(this.#client);
    for (let index = 1; index <= nodes; index += 1) {
      const context: NodeContext = {
        nodeName: `node-${index}`,
        hostIP: nodeAddress(index),
        allocatable: this.#config.capacity,
        home: layout.home,
        podsDir: layout.pods,
        client: this.#client,
        podNet: this.#podNet,
        images,
        tokens,
        recorder: this.#recorder,
        services: () => this.#services.services(),
        log: this.#log,
      };
      const own = records.filter((record) => record.nodeName === context.nodeName);
      const pods = new PodManager(context, own);
      const description = {
        name: context.nodeName,
        address: context.hostIP,
        capacity: this.#config.capacity,
        podNet: this.#podNet.driver,
        kubeletVersion: version,
        bootId: bootId(),
      };
      const controller = new NodeController({ client: this.#client, node: description, log: this.#log });
      const server = new KubeletServer({ manager: pods, tls: this.#config.tls, log: this.#log });
      this.#nodes.push({ controller, pods, server });
    }
    await new EgressServer({
      socketPath: path.join(layout.sockets, 'egress.sock'),
      kubelet: (ip) => this.#nodes.find(({ pods }) => pods.context.hostIP === ip)?.server,
      podNet: this.#podNet,
      log: this.#log,
    }).start((close) => this.onStop(close));
    for (const node of this.#nodes) {
      const door = await this.#podNet.listen(node.pods.context.hostIP, kubeletPort, (socket) => node.server.accept(socket));
      this.onStop(() => door[Symbol.asyncDispose]());
      await node.controller.start();
      await node.pods.start();
    }
    await this.#clearLeftovers([
      ...broken,
      ...records.filter((record) => !this.#nodes.some(({ pods }) => pods.context.nodeName === record.nodeName)).map((record) => record.pod.metadata.uid ?? ''),
    ]);
    await this.#announce();
  }

  /** kube-proxy's and CoreDNS's part: ClusterIPs, NodePorts and the names of Services. */
  async #serveServices(): Promise<void> {
    const { nodes, nodePortAddress, apiserver } = this.#config;
    const proxy = await startServiceProxy({
      services: this.#services,
      podNet: this.#podNet,
      nodeIps: Array.from({ length: nodes }, (_, index) => nodeAddress(index + 1)),
      nodePortAddress,
      apiServer: `${apiserver.host}:${apiserver.port}`,
      onProblem: ({ namespace, name, uid, reason, message }) =>
        this.#recorder.record(
          { object: { kind: 'Service', apiVersion: 'v1', namespace, name, uid: uid ?? '' }, host: 'node-1' },
          { type: 'Warning', reason, message },
        ),
    });
    const dns = await startClusterDns({ services: this.#services, podNet: this.#podNet });
    this.onStop(() => Promise.all([proxy[Symbol.asyncDispose](), dns[Symbol.asyncDispose]()]));
  }

  async #provisionClaims(): Promise<void> {
    await ensureStorageClasses(this.#client);
    const provisioner = new ClaimProvisioner({ client: this.#client, home: this.#config.layout.home, log: this.#log });
    this.onStop(() => provisioner.stop());
    await provisioner.start();
  }

  #catalogue(): ImageCatalogue {
    const { project, layout } = this.#config;
    return ImageCatalogue.fromFile(path.join(project, 'assets/images/catalogue.yaml'), {
      project,
      cache: layout.cache,
      transfer: layout.transfer,
      node: path.dirname(process.execPath),
      engineModel: process.env['DYNAMO_LABS_ENGINE_MODEL'] ?? '',
    });
  }

  /** Ends sandboxes of pods that no node has any more, and removes folders that cannot be read. */
  async #clearLeftovers(folders: string[]): Promise<void> {
    const keep = new Set(this.#nodes.flatMap(({ pods }) => [...pods.workers].map((worker) => worker.uid)));
    await this.#podNet.sweep(keep);
    await sweepMemoryVolumes(this.#config.layout.home, keep);
    for (const uid of folders) if (!keep.has(uid)) await removeRecord(this.#config.layout.pods, uid);
  }

  async #announce(): Promise<void> {
    const file = path.join(this.#config.layout.run, 'node-agent.json');
    const nodes = this.#nodes.map(({ pods }) => ({ name: pods.context.nodeName, address: pods.context.hostIP }));
    await writeFile(`${file}.new`, JSON.stringify({ podNet: this.#podNet.driver, nodes, pid: process.pid }), { mode: 0o600 });
    await rename(`${file}.new`, file);
    this.#log.info(`ready: ${nodes.length} node(s), pod network ${this.#podNet.driver}`);
  }

  /** Ends all pods, reports the nodes as not ready and gives everything back. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    await rm(path.join(this.#config.layout.run, 'node-agent.json'), { force: true });
    await Promise.all(this.#nodes.map(({ pods }) => pods.stop()));
    await sweepMemoryVolumes(this.#config.layout.home, new Set());
    for (const close of this.#closers) await close();
    await Promise.all(this.#nodes.map(({ controller, server }) => Promise.all([controller.stop(), server.close()])));
    await this.#recorder.close();
    await this.#services[Symbol.asyncDispose]();
    await this.#podNet.close({ keepPods: false });
    await rm(this.#config.layout.transfer, { recursive: true, force: true });
    this.#client.close();
  }
}
