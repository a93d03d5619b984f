import { createServer, type Server } from 'node:net';
import { addressPlan } from '../addressPlan.ts';
import { PodNetError } from '../podNetError.ts';

/** Each cluster takes three /16 of 127/8; 127.0 to 127.63 are left to others. */
const firstSecondByte = 64;
const slots = 64;
/** Held by the agent of the cluster that uses a slot, on an address no pod has. */
const slotPort = 47_000;
/** Added to ports below 1024 where an unprivileged process may not bind those; the results lie behind the ephemeral ports. */
const shiftedPorts = 61_000;

/**
 * Which addresses of 127/8 stand for the pod network. native/podinit/preload/pod_map.h does the same inside pods. Several
 * clusters on one machine use different slots.
 */
export class LoopbackMap {
  readonly slot: number;
  readonly shift: number;

  constructor(slot: number, shift: number) {
    this.slot = slot;
    this.shift = shift;
  }

  get #second(): { pods: number; services: number; nodes: number } {
    const pods = firstSecondByte + 3 * this.slot;
    return { pods, services: pods + 1, nodes: pods + 2 };
  }

  /** The address of this machine behind one of the pod network; others stay as they are. */
  toHost(ip: string): string {
    const { pods, services, nodes } = this.#second;
    const { podPrefix, servicePrefix, nodePrefix } = addressPlan;
    if (ip.startsWith(`${podPrefix}.`)) return `127.${pods}${ip.slice(podPrefix.length)}`;
    if (ip.startsWith(`${servicePrefix}.`)) return `127.${services}${ip.slice(servicePrefix.length)}`;
    if (ip.startsWith(`${nodePrefix}.`)) return `127.${nodes}.0${ip.slice(nodePrefix.length)}`;
    return ip;
  }

  /** The pod network's name of an address of this machine. */
  toPod(ip: string): string {
    const match = /^(?:::ffff:)?127\.(\d+)\.(\d+\.\d+)$/.exec(ip);
    const { pods, services, nodes } = this.#second;
    const second = Number(match?.[1]);
    if (match === null || second < pods || second > nodes) return ip;
    const prefix = second === pods ? addressPlan.podPrefix : second === services ? addressPlan.servicePrefix : '10.240';
    return `${prefix}.${match[2]}`;
  }

  portToHost(port: number): number {
    return port > 0 && port < 1024 ? port + this.shift : port;
  }

  /** The pod's side of the map: the value of DYNAMO_LABS_LOOPBACK. */
  environment(podIp: string, namespace: string, hostname: string): string {
    const { pods, services, nodes } = this.#second;
    return [podIp, pods, services, nodes, this.shift, namespace, hostname].join(' ');
  }
}

/** Whether ports below 1024 can be bound here shows only by trying: it may be a privilege, a capability or a setting. */
export async function neededShift(slot: number): Promise<number> {
  const trial = createServer();
  const code = await listenCode(trial, 53, `127.${firstSecondByte + 3 * slot}.255.253`);
  trial.close();
  return code === 'EACCES' ? shiftedPorts : 0;
}

/** Listens; resolves with the code of the error, if there is one. */
function listenCode(server: Server, port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, host, () => resolve(undefined));
  });
}

/** Takes a slot that no other cluster of this machine uses, `preferred` first; closing the server gives it back. */
export async function takeSlot(preferred: number): Promise<{ slot: number; lock: Server }> {
  for (let i = 0; i < slots; i++) {
    const slot = (preferred + i) % slots;
    const lock = createServer((socket) => socket.destroy());
    const code = await listenCode(lock, slotPort, `127.${firstSecondByte + 3 * slot}.255.254`);
    if (code === undefined) return { slot, lock: lock.unref() };
    if (code !== 'EADDRINUSE') throw new PodNetError('PODNET_UNAVAILABLE', `cannot listen in 127.0.0.0/8: ${code}`);
  }
  throw new PodNetError('PODNET_UNAVAILABLE', `all ${slots} parts of 127.0.0.0/8 are used by clusters that run on this machine`);
}
