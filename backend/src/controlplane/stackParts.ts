import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialsFromKubeconfig, KubeClient } from '../kube/index.ts';
import { resolveKubernetes } from './components.ts';
import { componentKubeconfig, controlPlaneSpecs, egressConfig, egressConfigFile } from './controlPlaneSpecs.ts';
import { freePort } from './freePort.ts';
import { prepareJupyter } from './jupyter.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { applyKubernetesEndpoints } from './kubernetesEndpoints.ts';
import type { LocalStack, LocalStackOptions, StackPart } from './localStack.ts';
import { ensurePki } from './pki.ts';
import { applyCustomResources, applyManifests, waitForDeployment, waitForNodes } from './platform.ts';
import { writePrivateFile } from './privateFile.ts';
import { backendSpec, nodeAgentSpec } from './programSpecs.ts';
import { projectDir } from './projectPaths.ts';
import { timed } from './stackStep.ts';
import type { Supervisor } from './supervisor.ts';

const operator = { namespace: 'dynamo-system', name: 'dynamo-platform-dynamo-operator-controller-manager' };

/** Starts the parts, each as soon as what it needs is there. Resolves when all are ready. */
export async function startParts(options: LocalStackOptions, supervisor: Supervisor): Promise<Omit<LocalStack, 'supervisor' | 'stop'>> {
  const { layout, onStep } = options;
  const since = new Date();
  // The first part that fails ends the waiting of the others.
  const failed = new AbortController();
  const signal = AbortSignal.any([supervisor.signal, failed.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const has = (part: StackPart): boolean => options.parts.includes(part);
  const env = options.env ?? {};
  const binaries = options.binaries ?? (await timed(onStep, 'Kubernetes programs', 'a search', () => resolveKubernetes(layout), 'quiet'));
  // The usual ports are for the person's own stack.
  const usual = options.throwAway !== true;
  const ports = { etcd: await freePort(), apiserver: await freePort(usual ? 16443 : undefined) };
  const server = `https://127.0.0.1:${ports.apiserver}`;
  await timed(onStep, 'certificates', 'keys', () => writeIdentities(options, server), 'quiet');

  const tasks: Promise<unknown>[] = [];
  const task = <T>(work: Promise<T>): Promise<T> => {
    tasks.push(work);
    work.catch((error: unknown) => failed.abort(error));
    return work;
  };
  const jupyter = has('jupyter')
    ? await prepareJupyter({
        layout,
        kubectl: binaries.kubectl,
        env: { DYNAMO_LABS_FRONTEND: `http://${options.nodePortAddress ?? '127.0.0.1'}:30200`, ...env },
        usualPort: usual ? 8888 : undefined,
      })
    : undefined;
  const kube = new KubeClient(credentialsFromKubeconfig(layout.kubeconfig));
  try {
    const specs = controlPlaneSpecs({ layout, binaries, ports, throwAway: options.throwAway === true });
    const api = task(
      timed(onStep, 'control plane', 'etcd and kube-apiserver', async () => {
        await supervisor.run(specs.etcd, signal);
        await supervisor.run(specs.apiserver, signal);
        return `Kubernetes at ${server}`;
      }),
    );
    if (jupyter !== undefined) void task(timed(onStep, 'JupyterLab', 'its HTTP server', () => supervisor.run(jupyter.spec, signal)));
    await api;
    const crds = task(applyCustomResources(binaries.kubectl, layout.kubeconfig, path.join(projectDir, 'assets', 'crds'), signal));
    // The garbage collector looks for new kinds only every 30 s: what it does not find at its start it does not delete with its owner before then.
    void task(crds.then(() => supervisor.run(specs.controllers, signal)));
    void task(Promise.all([supervisor.run(specs.scheduler, signal), applyKubernetesEndpoints(kube, ports.apiserver, signal)]));
    const account = task(timed(onStep, 'controllers', 'the default ServiceAccount', () => waitForServiceAccount(kube, signal), 'quiet'));
    const nodes = options.nodes ?? 1;
    const agentOptions = {
      layout,
      apiserverPort: ports.apiserver,
      nodes,
      gpus: options.gpus ?? 8,
      nodePortAddress: options.nodePortAddress ?? '127.0.0.1',
      podNet: options.podNet ?? 'auto',
      env,
    };
    const agent = !has('nodeagent')
      ? undefined
      : task(
          timed(onStep, 'nodes', 'the node agent', async () => {
            await supervisor.run(nodeAgentSpec(agentOptions, binaries.kubectl), signal);
            return waitForNodes(kube, nodes, signal);
          }),
        );
    if (has('backend')) void task(timed(onStep, 'backend', 'its socket', () => supervisor.run(backendSpec(layout, binaries.kubectl, env), signal)));
    if (has('operator')) {
      void task(
        timed(onStep, 'operator', 'its Deployment', async () => {
          await Promise.all([crds, account]);
          await applyManifests(binaries.kubectl, layout.kubeconfig, path.join(projectDir, 'assets', 'platform'), signal);
          await agent;
          return waitForDeployment(kube, { ...operator, since, signal });
        }),
      );
    }
    await Promise.all(tasks);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(tasks);
    // The first failure, not the "aborted" of another part.
    throw failed.signal.reason;
  } finally {
    kube.close();
  }
  const url = jupyter?.url;
  supervisor.publish({ ready: true, ...(url === undefined ? {} : { url }) });
  return { binaries, server, kubeconfig: layout.kubeconfig, ...(url === undefined ? {} : { url }) };
}

async function writeIdentities({ layout }: LocalStackOptions, server: string): Promise<undefined> {
  await ensurePki(layout.pki);
  for (const user of ['kube-controller-manager', 'kube-scheduler', 'node-client']) {
    await writeKubeconfig({ file: componentKubeconfig(layout, user), server, pki: layout.pki, user });
  }
  await writeKubeconfig({ file: layout.kubeconfig, server, pki: layout.pki, user: 'admin' });
  await writePrivateFile(egressConfigFile(layout), egressConfig(layout));
}

/** Pods cannot be made in a namespace before its default ServiceAccount exists. */
async function waitForServiceAccount(kube: KubeClient, signal: AbortSignal): Promise<undefined> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(60_000)]);
  const type = { group: '', version: 'v1', plural: 'serviceaccounts' };
  while ((await kube.find(type, 'default', 'default', deadline)) === undefined) await sleep(50, undefined, { signal: deadline });
}
