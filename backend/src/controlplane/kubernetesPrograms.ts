export const kubernetesVersion = 'v1.36.3';
/** What the etcd client of that Kubernetes is tested with. */
export const etcdVersion = 'v3.6.8';

export const kubernetesPrograms = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'] as const;
export type KubernetesProgram = (typeof kubernetesPrograms)[number];

/** Absolute paths of the programs. */
export type KubernetesBinaries = Record<KubernetesProgram, string>;

/** `linux-x64`, `darwin-arm64`, …: Node's names for platform and architecture. */
export const platformName = `${process.platform}-${process.arch}`;
