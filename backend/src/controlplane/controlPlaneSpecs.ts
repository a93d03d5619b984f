import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { KubernetesBinaries } from './kubernetesPrograms.ts';
import { httpProbe } from './probes.ts';
import type { ProcessSpec } from './processSpec.ts';
import type { StateLayout } from './stateLayout.ts';

export const serviceRange = '10.96.0.0/16';

/** kubeconfigs of the components, below the PKI folder: they hold keys. */
export function componentKubeconfig(layout: StateLayout, user: string): string {
  return path.join(layout.pki, `${user}.kubeconfig`);
}

export function egressConfigFile(layout: StateLayout): string {
  return path.join(layout.run, 'egress.json');
}

/** The API server reaches nodes, pods and webhooks through the node agent's socket. Strictly decoded: no unknown fields. */
export function egressConfig(layout: StateLayout): string {
  return JSON.stringify({
    apiVersion: 'apiserver.k8s.io/v1beta1',
    kind: 'EgressSelectorConfiguration',
    egressSelections: [
      { name: 'cluster', connection: { proxyProtocol: 'HTTPConnect', transport: { uds: { udsName: path.join(layout.sockets, 'egress.sock') } } } },
    ],
  });
}

export interface ControlPlaneOptions {
  layout: StateLayout;
  binaries: KubernetesBinaries;
  ports: { etcd: number; apiserver: number };
  /** Skips fsync in etcd: for stacks that live as long as a test. */
  throwAway: boolean;
}

/** etcd, kube-apiserver, kube-controller-manager, kube-scheduler. The API server must be ready before the last two start. */
export function controlPlaneSpecs(options: ControlPlaneOptions): {
  etcd: ProcessSpec;
  apiserver: ProcessSpec;
  controllers: ProcessSpec;
  scheduler: ProcessSpec;
} {
  const { layout, binaries, ports } = options;
  const pki = (name: string): string => path.join(layout.pki, name);
  const read = (name: string): string => readFileSync(pki(name), 'utf8');
  const etcdUrl = `https://127.0.0.1:${ports.etcd}`;
  const common = (name: string, stage: number): Omit<ProcessSpec, 'argv'> => ({
    name,
    // The components need no environment; a proxy setting must not reach them.
    env: { PATH: process.env['PATH'] ?? '', HOME: layout.home },
    cwd: layout.run,
    logFile: path.join(layout.logs, `${name}.log`),
    ports: [],
    stage,
    readyTimeoutMs: 120_000,
    stopTimeoutMs: 15_000,
  });
  return {
    etcd: {
      ...common('etcd', 0),
      ports: [ports.etcd],
      probe: httpProbe(`${etcdUrl}/health`, { ca: read('etcd-ca.crt'), cert: read('apiserver-etcd-client.crt'), key: read('apiserver-etcd-client.key') }),
      argv: [
        binaries.etcd,
        `--data-dir=${layout.etcd}`,
        `--listen-client-urls=${etcdUrl}`,
        `--advertise-client-urls=${etcdUrl}`,
        // There are no peers; etcd listens for them all the same, and lets in who has a certificate.
        '--listen-peer-urls=https://127.0.0.1:0',
        `--peer-cert-file=${pki('etcd.crt')}`,
        `--peer-key-file=${pki('etcd.key')}`,
        '--peer-client-cert-auth=true',
        `--peer-trusted-ca-file=${pki('etcd-ca.crt')}`,
        `--cert-file=${pki('etcd.crt')}`,
        `--key-file=${pki('etcd.key')}`,
        '--client-cert-auth=true',
        `--trusted-ca-file=${pki('etcd-ca.crt')}`,
        '--auto-compaction-mode=periodic',
        '--auto-compaction-retention=1h',
        ...(options.throwAway ? ['--unsafe-no-fsync=true'] : []),
      ],
    },
    apiserver: {
      ...common('kube-apiserver', 1),
      ports: [ports.apiserver],
      probe: httpProbe(`https://127.0.0.1:${ports.apiserver}/readyz`, { ca: read('ca.crt'), cert: read('admin.crt'), key: read('admin.key') }),
      argv: [
        binaries['kube-apiserver'],
        `--etcd-servers=${etcdUrl}`,
        `--etcd-cafile=${pki('etcd-ca.crt')}`,
        `--etcd-certfile=${pki('apiserver-etcd-client.crt')}`,
        `--etcd-keyfile=${pki('apiserver-etcd-client.key')}`,
        '--bind-address=127.0.0.1',
        // Without it the API server looks for a default route and ends where there is none.
        '--advertise-address=127.0.0.1',
        `--secure-port=${ports.apiserver}`,
        `--service-cluster-ip-range=${serviceRange}`,
        '--authorization-mode=Node,RBAC',
        '--allow-privileged=true',
        `--client-ca-file=${pki('ca.crt')}`,
        `--tls-cert-file=${pki('apiserver.crt')}`,
        `--tls-private-key-file=${pki('apiserver.key')}`,
        '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
        `--service-account-key-file=${pki('sa.pub')}`,
        `--service-account-signing-key-file=${pki('sa.key')}`,
        `--kubelet-client-certificate=${pki('kubelet-client.crt')}`,
        `--kubelet-client-key=${pki('kubelet-client.key')}`,
        `--kubelet-certificate-authority=${pki('ca.crt')}`,
        '--kubelet-preferred-address-types=InternalIP',
        `--egress-selector-config-file=${egressConfigFile(layout)}`,
        // The reconciler refuses a loopback address: `kubernetesEndpoints.ts` writes the endpoints.
        '--endpoint-reconciler-type=none',
        `--requestheader-client-ca-file=${pki('ca.crt')}`,
        '--requestheader-allowed-names=front-proxy',
        '--requestheader-username-headers=X-Remote-User',
        '--requestheader-group-headers=X-Remote-Group',
        '--requestheader-extra-headers-prefix=X-Remote-Extra-',
        `--proxy-client-cert-file=${pki('front-proxy.crt')}`,
        `--proxy-client-key-file=${pki('front-proxy.key')}`,
        '--profiling=false',
      ],
    },
    controllers: {
      ...common('kube-controller-manager', 2),
      argv: [
        binaries['kube-controller-manager'],
        ...clientFlags(layout, 'kube-controller-manager'),
        `--root-ca-file=${pki('ca.crt')}`,
        `--service-account-private-key-file=${pki('sa.key')}`,
        // Without it every controller acts as one user that RBAC forbids nearly everything.
        '--use-service-account-credentials=true',
        '--node-monitor-grace-period=20s',
        // The defaults (20, 30) make the first start wait two seconds for its own client's limiter.
        '--kube-api-qps=200',
        '--kube-api-burst=400',
      ],
    },
    scheduler: { ...common('kube-scheduler', 2), argv: [binaries['kube-scheduler'], ...clientFlags(layout, 'kube-scheduler')] },
  };
}

function clientFlags(layout: StateLayout, user: string): string[] {
  const kubeconfig = componentKubeconfig(layout, user);
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    '--secure-port=0',
    '--profiling=false',
  ];
}
