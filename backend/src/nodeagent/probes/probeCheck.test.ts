import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Container, Probe } from '../pods/pod.ts';
import { checkProbe, type ProbeTarget } from './probeCheck.ts';
import { ProbeCounter, runProbeLoop, type ProbeLoopOptions } from './probeLoop.ts';

const server = http.createServer((request, response) => {
  if (request.url === '/slow') return;
  if (request.url === '/hang-up') return void request.socket.destroy();
  response.writeHead(Number(/\d+/.exec(request.url ?? '')?.[0] ?? 200), { location: '/', seen: request.headers['x-mine'] ?? '' }).end('body');
});
let port: number;
beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  port = (server.address() as net.AddressInfo).port;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const container = (): Container => ({ name: 'main', image: 'i', ports: [{ name: 'http', containerPort: port }] });

function target(fields: Partial<ProbeTarget> = {}): ProbeTarget {
  return {
    podIP: '127.0.0.1',
    container: container(),
    dial: async (ip, to): Promise<Duplex> => {
      const socket = net.connect(to, ip);
      await once(socket, 'connect');
      return socket;
    },
    exec: async () => ({ exitCode: 0, output: '' }),
    ...fields,
  };
}

describe('http', () => {
  test.each([
    ['/200', { outcome: 'success' }],
    ['/399', { outcome: 'success' }],
    ['/404', { outcome: 'failure', message: 'HTTP probe failed with statuscode: 404' }],
    ['/503', { outcome: 'failure', message: 'HTTP probe failed with statuscode: 503' }],
  ])('%s', async (path, expected) => {
    expect(await checkProbe({ httpGet: { path, port: 'http' } }, target())).toEqual(expected);
  });

  test('texts of connections that fail', async () => {
    const at = (path: string, to: number): string => `Get "http://127.0.0.1:${to}${path}": `;
    const closed = await freePort();
    expect(await checkProbe({ httpGet: { path: '/x', port: closed } }, target())).toEqual({
      outcome: 'failure',
      message: `${at('/x', closed)}dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    });
    expect(await checkProbe({ httpGet: { path: '/hang-up', port } }, target())).toEqual({ outcome: 'failure', message: `${at('/hang-up', port)}EOF` });
    expect(await checkProbe({ httpGet: { path: '/slow', port }, timeoutSeconds: 0.2 }, target())).toEqual({
      outcome: 'failure',
      message: `${at('/slow', port)}context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    });
  });

  test('a port name that the container does not have is an error, not a failure', async () => {
    expect(await checkProbe({ httpGet: { port: 'metrics' } }, target())).toMatchObject({ outcome: 'error' });
  });
});

async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const free = (probe.address() as net.AddressInfo).port;
  probe.close();
  await once(probe, 'close');
  return free;
}

test('tcp', async () => {
  expect(await checkProbe({ tcpSocket: { port: 'http' } }, target())).toEqual({ outcome: 'success' });
  const closed = await freePort();
  expect(await checkProbe({ tcpSocket: { port: closed } }, target())).toEqual({
    outcome: 'failure',
    message: `dial tcp 127.0.0.1:${closed}: connect: connection refused`,
  });
});

test('exec', async () => {
  const probe: Probe = { exec: { command: ['cat', '/x'] } };
  const failing = target({ exec: async () => ({ exitCode: 1, output: 'cat: /x: No such file or directory\n' }) });
  expect(await checkProbe(probe, failing)).toEqual({ outcome: 'failure', message: 'cat: /x: No such file or directory\n' });
  const hanging = target({ exec: (_argv, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))) });
  expect(await checkProbe({ ...probe, timeoutSeconds: 0.1 }, hanging)).toEqual({
    outcome: 'failure',
    message: 'command timed out: "cat /x" timed out after 0.1s',
  });
  const gone = target({ exec: async () => Promise.reject(new Error('container not running')) });
  expect(await checkProbe(probe, gone)).toEqual({ outcome: 'error', message: 'container not running' });
});

describe('thresholds', () => {
  test.each([
    [{ failureThreshold: 3 }, [false, false, false], [undefined, undefined, false]],
    [{ failureThreshold: 2 }, [false, true, false, false], [undefined, true, undefined, false]],
    [{ successThreshold: 2, failureThreshold: 1 }, [true, true, false, true, true], [undefined, true, false, undefined, true]],
  ])('%j', (probe, results, verdicts) => {
    const counter = new ProbeCounter(probe);
    expect(results.map((ok) => counter.count(ok))).toEqual(verdicts);
  });
});

describe('loop', () => {
  function loop(fields: Partial<ProbeLoopOptions>): ProbeLoopOptions {
    return {
      kind: 'readiness',
      probe: { httpGet: { port: 1 }, periodSeconds: 60 },
      startedAt: Date.now(),
      isStarted: () => true,
      isReady: () => false,
      check: async () => ({ outcome: 'success' }),
      onResult: () => {},
      onWarning: () => {},
      ...fields,
    };
  }

  test('a success between two periods counts, a failure there does not', async () => {
    const abort = new AbortController();
    let looks = 0;
    const warnings: string[] = [];
    const ready = Promise.withResolvers<boolean>();
    const check = async (): ReturnType<ProbeLoopOptions['check']> => ((looks += 1) < 3 ? { outcome: 'failure', message: 'not yet' } : { outcome: 'success' });
    const running = runProbeLoop(loop({ check, onResult: ready.resolve, onWarning: (text) => warnings.push(text) }), abort.signal);
    expect(await ready.promise).toBe(true);
    abort.abort();
    await running;
    expect(warnings).toEqual(['Readiness probe failed: not yet']);
  });

  test('liveness waits for the startup probe and ends with its first verdict of failure', async () => {
    let started = false;
    setTimeout(() => (started = true), 150);
    const results: boolean[] = [];
    const probe: Probe = { exec: { command: ['x'] }, periodSeconds: 0.05, failureThreshold: 2 };
    const warnings: string[] = [];
    await runProbeLoop(
      loop({
        kind: 'liveness',
        probe,
        isStarted: () => started,
        check: async () => {
          expect(started).toBe(true);
          return { outcome: 'failure', message: 'dead' };
        },
        onResult: (ok) => results.push(ok),
        onWarning: (text) => warnings.push(text),
      }),
      new AbortController().signal,
    );
    expect(results).toEqual([false]);
    expect(warnings).toEqual(['Liveness probe failed: dead', 'Liveness probe failed: dead']);
  });

  test('an error is told and does not count', async () => {
    const warnings: string[] = [];
    const abort = new AbortController();
    const results: boolean[] = [];
    const check = async (): ReturnType<ProbeLoopOptions['check']> => ({ outcome: 'error', message: 'no such port' });
    const onWarning = (text: string): void => {
      warnings.push(text);
      if (warnings.length === 4) abort.abort();
    };
    await runProbeLoop(
      loop({
        kind: 'liveness',
        probe: { tcpSocket: { port: 1 }, periodSeconds: 0.02, failureThreshold: 1 },
        check,
        onWarning,
        onResult: (ok) => results.push(ok),
      }),
      abort.signal,
    );
    expect(results).toEqual([]);
    expect(warnings[0]).toBe('Liveness probe errored and resulted in unknown state: no such port');
  });
});
