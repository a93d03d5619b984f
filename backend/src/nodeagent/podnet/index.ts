/** The pod network: one seam (`PodNet`), two drivers, the Service proxy and the cluster's DNS on top. */
export { addressPlan } from './addressPlan.ts';
export { createPodNet, type PodNetMode, type PodNetOptions } from './createPodNet.ts';
export { endPods } from './endPods.ts';
export { exitRecordFile, readExitRecord, type ExitRecord } from './exitRecord.ts';
export type { BindMount, ExitStatus, PodIdentity, PodNet, PodProcess, PodSandbox, ProcessSpec } from './podNet.ts';
export { PodNetError, PodStartError } from './podNetError.ts';
export { isAlive, processStat } from './processStat.ts';
export { startClusterDns, type ClusterDnsOptions } from './services/clusterDns.ts';
export { joinSockets, resetSocket } from './services/joinSockets.ts';
export { startServiceProxy, type ServiceProblem, type ServiceProxy, type ServiceProxyOptions } from './services/serviceProxy.ts';
export { ServiceWatch, type ServiceSource } from './services/serviceWatch.ts';
