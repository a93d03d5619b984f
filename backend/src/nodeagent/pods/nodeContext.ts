import type { KubeClient, ResourceType } from '../../kube/index.ts';
import type { Service } from '../env/serviceLinks.ts';
import type { EventRecorder } from '../events/eventRecorder.ts';
import type { ImagePuller } from '../images/imagePuller.ts';
import type { Logger } from '../logger.ts';
import type { PodNet } from '../podnet/podNet.ts';
import type { ServiceAccountTokens } from '../volumes/serviceAccountToken.ts';

export const podsType: ResourceType = { group: '', version: 'v1', plural: 'pods' };

/** What the pods of one virtual node share. */
export interface NodeContext {
  nodeName: string;
  /** The node's InternalIP. */
  hostIP: string;
  allocatable: Record<string, string>;
  /** State folder and, in it, the folder of the pods' own folders. */
  home: string;
  podsDir: string;
  client: KubeClient;
  podNet: PodNet;
  images: ImagePuller;
  tokens: ServiceAccountTokens;
  recorder: EventRecorder;
  services(): Iterable<Service>;
  log: Logger;
}
