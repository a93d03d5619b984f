import type { PodIdentity } from '../podNet.ts';
import type { ProcessIdentity } from './ownerProcess.ts';

/** What is kept on disk of a sandbox, so that the next agent finds it: `<run>/podnet/<uid>/sandbox.json`. */
export interface SandboxRecord {
  pod: PodIdentity;
  ip: string;
  /** The host end of the pod's interface pair. */
  interface: string;
  /** The owner it belongs to: with another one its network is cut off. */
  owner: ProcessIdentity;
  /** The sandbox's first process; absent until it runs. */
  pause?: ProcessIdentity;
}
