import { createHash } from 'node:crypto';
import { homedir, tmpdir, userInfo } from 'node:os';
import path from 'node:path';

/**
 * Every path below the one state folder. `DYNAMO_LABS_HOME` sets it; the default follows the XDG base directory spec.
 * `DYNAMO_LABS_CACHE` moves only `cache`, so that several stacks share what was downloaded and built.
 */
export interface StateLayout {
  home: string;
  /** Downloads and builds; survives `reset`. `cache/kubernetes/<version>-<platform>/bin`, `cache/nats/…`, `cache/models/<model>/`. */
  cache: string;
  /** Keys and certificates, 0700; files 0600. */
  pki: string;
  /** etcd's data directory. */
  etcd: string;
  /** Per-pod folders of the node agent: volumes, logs, sandbox records. */
  pods: string;
  /** Lab progress and evidence kept by the backend. */
  progress: string;
  /** JupyterLab's root: the learner's copies of the lab notebooks. */
  work: string;
  logs: string;
  /** Run-time records: `supervisor.json`, `backend.json` {socket, token}; 0700. */
  run: string;
  /** Unix sockets: `egress.sock`, `backend.sock`. Outside `home` where its path is too long for a socket. */
  sockets: string;
  /** Where transfer agents of this machine's pods meet: their Unix sockets and shared secret. 0700, made and removed by the node agent. */
  transfer: string;
  /** The admin kubeconfig, 0600. */
  kubeconfig: string;
}

/** Longest socket name below `sockets`; sun_path holds 108 bytes with its NUL. */
const longestSocketName = 32;

export function stateLayout(env: NodeJS.ProcessEnv = process.env): StateLayout {
  const home = path.resolve(env['DYNAMO_LABS_HOME'] ?? path.join(env['XDG_STATE_HOME'] ?? path.join(homedir(), '.local', 'state'), 'dynamo-labs'));
  const run = path.join(home, 'run');
  const short = path.join(tmpdir(), `dynamo-labs-${userInfo().uid}-${createHash('sha256').update(home).digest('hex').slice(0, 8)}`);
  const sockets = Buffer.byteLength(run) + 1 + longestSocketName < 108 ? run : short;
  return {
    home,
    cache: path.resolve(env['DYNAMO_LABS_CACHE'] ?? path.join(home, 'cache')),
    pki: path.join(home, 'pki'),
    etcd: path.join(home, 'etcd'),
    pods: path.join(home, 'pods'),
    progress: path.join(home, 'progress'),
    work: path.join(home, 'work'),
    logs: path.join(home, 'logs'),
    run,
    sockets,
    transfer: path.join(sockets, 'kv'),
    kubeconfig: path.join(home, 'kubeconfig'),
  };
}
