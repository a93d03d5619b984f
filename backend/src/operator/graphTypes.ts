import type { KubeObject } from '../kube/index.ts';

/** A part of a pod or container as the user wrote it; the CRD schema has checked it, unknown fields survive. */
export type Fragment = Record<string, unknown>;

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: Fragment;
}

export interface ResourceAmounts {
  cpu?: string;
  memory?: string;
  gpu?: string;
  gpuType?: string;
  custom?: Record<string, string>;
}

export interface Container extends Fragment {
  name?: string;
  image?: string;
  command?: string[];
  args?: string[];
  env?: EnvVar[];
  envFrom?: Fragment[];
  ports?: { name?: string; containerPort: number; protocol?: string }[];
  volumeMounts?: { name: string; mountPath: string }[];
  resources?: Fragment;
  livenessProbe?: Fragment;
  readinessProbe?: Fragment;
  startupProbe?: Fragment;
}

export interface PodSpec extends Fragment {
  containers?: Container[];
  volumes?: ({ name: string } & Fragment)[];
  serviceAccountName?: string;
}

export interface IngressSpec {
  enabled?: boolean;
  host?: string;
  hostPrefix?: string;
  hostSuffix?: string;
  ingressControllerClassName?: string;
  tls?: { secretName?: string };
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
}

/** One service of a graph: the shared spec of both custom resources (v1alpha1). */
export interface ServiceSpec {
  dynamoNamespace?: string;
  globalDynamoNamespace?: boolean;
  componentType?: string;
  subComponentType?: string;
  serviceName?: string;
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
  replicas?: number;
  resources?: { requests?: ResourceAmounts; limits?: ResourceAmounts; claims?: Fragment[] };
  autoscaling?: Fragment;
  envs?: EnvVar[];
  envFromSecret?: string;
  volumeMounts?: { name: string; mountPoint?: string; useAsCompilationCache?: boolean }[];
  sharedMemory?: { disabled?: boolean; size?: string | number };
  ingress?: IngressSpec;
  livenessProbe?: Fragment;
  readinessProbe?: Fragment;
  multinode?: { nodeCount: number };
  extraPodMetadata?: { annotations?: Record<string, string>; labels?: Record<string, string> };
  extraPodSpec?: PodSpec & { mainContainer?: Container };
}

export type BackendFramework = 'vllm' | 'sglang' | 'trtllm';

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  observedGeneration?: number;
  lastTransitionTime: string;
}

export interface ReplicaStatus {
  componentKind: 'Deployment';
  componentName: string;
  replicas: number;
  updatedReplicas: number;
  readyReplicas: number;
  availableReplicas: number;
}

export type GraphState = 'initializing' | 'pending' | 'successful' | 'failed';

export interface GraphStatus {
  state?: GraphState;
  observedGeneration?: number;
  conditions?: Condition[];
  services?: Record<string, ReplicaStatus>;
}

export interface PersistentVolumeClaimRequest {
  name: string;
  create?: boolean;
  size?: string | number;
  storageClass?: string;
  volumeAccessMode?: string;
}

export interface DynamoGraphDeployment extends KubeObject {
  spec: {
    services?: Record<string, ServiceSpec>;
    envs?: EnvVar[];
    pvcs?: PersistentVolumeClaimRequest[];
    backendFramework?: BackendFramework;
  };
  status?: GraphStatus;
}

export interface ComponentStatus {
  observedGeneration?: number;
  podSelector?: Record<string, string>;
  conditions?: Condition[];
  service?: ReplicaStatus;
}

export interface DynamoComponentDeployment extends KubeObject {
  spec: ServiceSpec & { backendFramework?: BackendFramework };
  status?: ComponentStatus;
}

/** The fields of an `apps/v1` Deployment that decide readiness. */
export interface Deployment extends KubeObject {
  spec: { replicas?: number } & Fragment;
  status?: {
    observedGeneration?: number;
    replicas?: number;
    updatedReplicas?: number;
    readyReplicas?: number;
    availableReplicas?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}
