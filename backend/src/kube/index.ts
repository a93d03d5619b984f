/** The Kubernetes client that operator, node agent, control plane and runtime share. */
export { KubeClient, type KubeRequest, type PatchType } from './kubeClient.ts';
export { credentialsFromKubeconfig, credentialsFromServiceAccount, defaultCredentials, KubeconfigError, type KubeCredentials } from './kubeCredentials.ts';
export { KubeError } from './kubeError.ts';
export { collectionPath, type KubeList, type KubeObject, type ObjectMeta, type OwnerReference, type ResourceType } from './kubeObject.ts';
export { keyOf, Reflector, type ReflectorOptions } from './reflector.ts';
