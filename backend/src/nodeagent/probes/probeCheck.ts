import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { Container, HttpGet, Probe } from '../pods/pod.ts';

/** One look at a container: `error` means that the look itself was impossible (its result does not count). */
export type ProbeResult = { outcome: 'success' } | { outcome: 'failure' | 'error'; message: string };

/** How a probe reaches its container. */
export interface ProbeTarget {
  podIP: string;
  container: Container;
  dial(ip: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** Runs a command in the container; both streams in `output`. */
  exec(argv: string[], signal: AbortSignal): Promise<{ exitCode: number; output: string }>;
}

/** Longest part of a command's output that is kept as the probe's message. */
const maxOutput = 10 * 1024;

/** A probe's port by number or by the name in the container's `ports`; undefined for an unknown name. */
export function resolvePort(container: Container, port: number | string): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find((item) => item.name === port)?.containerPort;
  return named ?? (/^\d+$/.test(port) ? Number(port) : undefined);
}

/** Runs a probe once, with the kubelet's texts (pkg/probe). */
export async function checkProbe(probe: Probe, target: ProbeTarget, signal?: AbortSignal): Promise<ProbeResult> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  const deadline = signal === undefined ? AbortSignal.timeout(timeoutMs) : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  if (probe.exec !== undefined) return checkExec(probe.exec.command, target, deadline, timeoutMs);
  if (probe.httpGet !== undefined) return checkHttp(probe.httpGet, target, deadline);
  const port = probe.tcpSocket?.port ?? probe.grpc?.port;
  if (port === undefined) return { outcome: 'error', message: `missing probe handler for ${target.container.name}` };
  return checkTcp(port, probe.tcpSocket?.host, target, deadline);
}

async function checkExec(command: string[], target: ProbeTarget, deadline: AbortSignal, timeoutMs: number): Promise<ProbeResult> {
  try {
    const { exitCode, output } = await target.exec(command, deadline);
    return exitCode === 0 ? { outcome: 'success' } : { outcome: 'failure', message: output.slice(0, maxOutput) };
  } catch (error) {
    if (deadline.aborted) return { outcome: 'failure', message: `command timed out: "${command.join(' ')}" timed out after ${timeoutMs / 1000}s` };
    return { outcome: 'error', message: (error as Error).message };
  }
}

/** Go's text for a dial that failed. */
export function dialErrorText(host: string, port: number, error: unknown, timedOut: boolean): string {
  const code = (error as NodeJS.ErrnoException).code;
  const what: Record<string, string> = {
    ECONNREFUSED: 'connect: connection refused',
    EHOSTUNREACH: 'connect: no route to host',
    ENETUNREACH: 'connect: network is unreachable',
    ECONNRESET: 'connect: connection reset by peer',
    ETIMEDOUT: 'i/o timeout',
  };
  return `dial tcp ${host}:${port}: ${timedOut ? 'i/o timeout' : (what[code ?? ''] ?? (error as Error).message)}`;
}

async function checkTcp(port: number | string, host: string | undefined, target: ProbeTarget, deadline: AbortSignal): Promise<ProbeResult> {
  const number = resolvePort(target.container, port);
  if (number === undefined) return { outcome: 'error', message: `couldn't find named port: ${port}` };
  const address = host === undefined || host === '' ? target.podIP : host;
  try {
    const socket = await target.dial(address, number, deadline);
    socket.on('error', () => {}).destroy();
    return { outcome: 'success' };
  } catch (error) {
    return { outcome: 'failure', message: dialErrorText(address, number, error, deadline.aborted) };
  }
}

/** The `Get "http://…"` URL of an httpGet action, or undefined when its port has no number. */
export function probeUrl(action: HttpGet, container: Container, podIP: string): URL | undefined {
  const port = resolvePort(container, action.port);
  if (port === undefined) return undefined;
  const scheme = (action.scheme ?? 'HTTP').toLowerCase();
  const path = action.path === undefined || action.path === '' ? '/' : action.path;
  return new URL(`${scheme}://${action.host ?? podIP}:${port}${path.startsWith('/') ? '' : '/'}${path}`);
}

async function checkHttp(action: HttpGet, target: ProbeTarget, deadline: AbortSignal): Promise<ProbeResult> {
  const url = probeUrl(action, target.container, target.podIP);
  if (url === undefined) return { outcome: 'error', message: `couldn't find named port: ${action.port}` };
  const scheme = url.protocol.slice(0, -1);
  const port = Number(url.port || (scheme === 'https' ? 443 : 80));
  const shown = `${scheme}://${url.hostname}:${port}${url.pathname}${url.search}`;
  const failure = (text: string): ProbeResult => ({ outcome: 'failure', message: `Get "${shown}": ${text}` });
  let socket: Duplex;
  try {
    socket = await target.dial(url.hostname, port, deadline);
  } catch (error) {
    return failure(
      deadline.aborted ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)' : dialErrorText(url.hostname, port, error, false),
    );
  }
  try {
    const status = await httpStatus(url, action, socket, deadline);
    return status >= 200 && status < 400 ? { outcome: 'success' } : { outcome: 'failure', message: `HTTP probe failed with statuscode: ${status}` };
  } catch (error) {
    if (deadline.aborted) return failure('context deadline exceeded (Client.Timeout exceeded while awaiting headers)');
    const code = (error as NodeJS.ErrnoException).code;
    return failure(code === 'ECONNRESET' ? 'EOF' : (error as Error).message);
  } finally {
    socket.destroy();
  }
}

function httpStatus(url: URL, action: HttpGet, socket: Duplex, signal: AbortSignal): Promise<number> {
  const headers: Record<string, string> = { 'user-agent': 'kube-probe/1.36', accept: '*/*', connection: 'close' };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  const { request } = url.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const options = { method: 'GET', headers, signal, rejectUnauthorized: false, createConnection: () => socket, socket };
    const outgoing = request(url, options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on('error', reject);
    outgoing.on('error', reject);
    outgoing.end();
  });
}
