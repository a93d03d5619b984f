import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './support/stack.ts';

/** The driver that this machine gives, and the loopback map, which every machine can do. */
describe.each(['auto', 'loopback'] as const)('pod network: %s', (podNet) => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ podNet, components: ['controlplane', 'nodeagent'], nodes: 2, gpus: 3 });
  });
  afterAll(() => stack.close());

  const kubectl = (...args: string[]): Promise<string> => stack.kubectlOutput(args);

  /** Runs a pod of a shell command and waits until it is ready. */
  async function runPod(name: string, script: string, ...options: string[]): Promise<void> {
    await kubectl('run', name, '--image=busybox', ...options, '--', 'sh', '-c', script);
    await kubectl('wait', `pod/${name}`, '--for=condition=Ready', '--timeout=30s');
  }

  const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

  const idle = 'while true; do sleep 1; done';

  describe('nodes', () => {
    it('register with their capacity, addresses and the driver of the pod network', async () => {
      const { items } = JSON.parse(await kubectl('get', 'nodes', '-o', 'json')) as {
        items: {
          metadata: { name: string; labels: Record<string, string> };
          status: { capacity: Record<string, string>; addresses: { type: string; address: string }[]; nodeInfo: { kubeletVersion: string } };
        }[];
      };
      expect(items.map((node) => node.metadata.name)).toEqual(['node-1', 'node-2']);
      expect(items.map((node) => node.status.addresses.find(({ type }) => type === 'InternalIP')?.address)).toEqual(['10.240.0.1', '10.240.0.2']);
      for (const node of items) {
        expect(node.status.capacity['nvidia.com/gpu']).toBe('3');
        expect(node.metadata.labels['dynamo-labs.dev/podnet']).toMatch(/^(namespaces|loopback)$/);
        expect(node.status.nodeInfo.kubeletVersion).toMatch(/^v1\.36\./);
      }
    });

    it('are Ready, and renew their Lease', async () => {
      await kubectl('wait', 'node', '--all', '--for=condition=Ready', '--timeout=30s');
      const renewed = (): Promise<string> => kubectl('get', 'lease', '-n', 'kube-node-lease', 'node-1', '-o', 'jsonpath={.spec.renewTime}');
      const before = await renewed();
      await expect.poll(renewed, { timeout: 20_000, interval: 500 }).not.toBe(before);
    });

    it('take no more GPUs than they have', async () => {
      const overrides = JSON.stringify({
        spec: { containers: [{ name: 'gpu', image: 'busybox', command: ['sleep', '60'], resources: { limits: { 'nvidia.com/gpu': '4' } } }] },
      });
      await kubectl('run', 'gpu', '--image=busybox', `--overrides=${overrides}`);
      await expect
        .poll(() => kubectl('get', 'pod', 'gpu', '-o', 'jsonpath={.status.conditions[*].message}'), { timeout: 15_000 })
        .toContain('Insufficient nvidia.com/gpu');
      await kubectl('delete', 'pod', 'gpu', '--now');
    });
  });

  describe('a Deployment', () => {
    it('becomes available, and its pods have their own addresses', async () => {
      await kubectl('create', 'deployment', 'web', '--image=busybox', '--replicas=2', '--', 'sh', '-c', `echo "hello from $HOSTNAME"; ${idle}`);
      await kubectl('wait', 'deployment/web', '--for=condition=Available', '--timeout=30s');
      const ips = (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}')).split(' ');
      expect(new Set(ips).size).toBe(2);
      for (const ip of ips) expect(ip).toMatch(/^10\.244\./);
    });

    it('tells in events what a kubelet tells', async () => {
      const pod = (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}')).trim();
      const text = await kubectl('describe', 'pod', pod);
      for (const line of [
        'Successfully assigned default/',
        'Pulling image "busybox"',
        'Successfully pulled image "busybox"',
        'Container created',
        'Container started',
      ])
        expect(text).toContain(line);
      expect(text).toMatch(/Started .* kubelet +spec\.containers\{busybox\}: Container started/);
    });

    it('is gone, with its processes, after kubectl delete', async () => {
      await kubectl('delete', 'deployment', 'web', '--cascade=foreground');
      expect(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'name')).toBe('');
    });
  });

  describe('kubectl logs', () => {
    beforeAll(() => runPod('logs', `echo one; echo two; echo three; echo problem >&2; ${idle}`));

    it('shows both streams', async () => {
      await expect.poll(() => kubectl('logs', 'logs')).toContain('problem');
      expect((await kubectl('logs', 'logs')).split('\n').filter(Boolean).toSorted()).toEqual(['one', 'problem', 'three', 'two']);
    });

    it('--tail, --timestamps, --since, --limit-bytes', async () => {
      expect((await kubectl('logs', 'logs', '--tail=1')).trim().split('\n')).toHaveLength(1);
      expect(await kubectl('logs', 'logs', '--timestamps', '--tail=1')).toMatch(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z \w+\n$/);
      expect(await kubectl('logs', 'logs', '--since=1h')).toContain('one');
      expect(await kubectl('logs', 'logs', '--limit-bytes=3')).toHaveLength(3);
    });

    it('-f follows until the container ends', async () => {
      await kubectl('run', 'count', '--image=busybox', '--restart=Never', '--', 'sh', '-c', 'for i in 1 2 3 4; do echo line $i; sleep 0.3; done');
      await expect.poll(() => kubectl('get', 'pod', 'count', '-o', 'jsonpath={.status.phase}'), { interval: 100 }).toMatch(/Running|Succeeded/);
      expect(await kubectl('logs', '-f', 'count')).toBe('line 1\nline 2\nline 3\nline 4\n');
      await expect.poll(() => kubectl('get', 'pod', 'count', '-o', 'jsonpath={.status.phase}')).toBe('Succeeded');
    });

    it('--previous of a container that never ended says so', async () => {
      const { stderr, code } = await stack.kubectl(['logs', 'logs', '--previous']);
      expect(code).toBe(1);
      expect(stderr).toContain('previous terminated container "logs" in pod "logs" not found');
    });

    it('of a container that does not exist says so', async () => {
      expect((await stack.kubectl(['logs', 'logs', '-c', 'nobody'])).stderr).toContain('container nobody is not valid for pod logs');
    });
  });

  describe('kubectl exec and cp', () => {
    beforeAll(async () => {
      // The loopback map has no file view of its own: what a pod writes has to be in a volume.
      const main = {
        name: 'main',
        image: 'busybox',
        command: ['sh', '-c', `echo started > /data/mark; ${idle}`],
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      };
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'target' }, spec: { containers: [main], volumes: [{ name: 'data', emptyDir: {} }] } };
      expect((await stack.kubectl(['apply', '-f', '-'], { input: JSON.stringify(pod) })).code).toBe(0);
      await kubectl('wait', 'pod/target', '--for=condition=Ready', '--timeout=30s');
    });

    it('gives output, error output and exit code', async () => {
      const { stdout, stderr, code } = await stack.kubectl(['exec', 'target', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3']);
      expect(stdout).toBe('out\n');
      expect(stderr).toBe('err\ncommand terminated with exit code 3\n');
      expect(code).toBe(3);
    });

    it('-i passes stdin through to its end', async () => {
      const input = 'x'.repeat(3_000_000);
      expect((await stack.kubectl(['exec', '-i', 'target', '--', 'wc', '-c'], { input })).stdout.trim()).toBe('3000000');
    });

    it('sees the files of the container', async () => {
      expect(await kubectl('exec', 'target', '--', 'cat', '/data/mark')).toBe('started\n');
    });

    it('-it gives a terminal', async () => {
      const session = spawn('script', ['-qec', `kubectl exec -it target -- sh -c 'tty; exit 5'`, '/dev/null'], {
        env: stack.env,
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let output = '';
      session.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const code = await new Promise((resolve) => session.once('close', resolve));
      expect(output).toContain('/dev/pts/');
      expect(code).toBe(5);
    });

    it('of a program that does not exist says so', async () => {
      const { stderr, code } = await stack.kubectl(['exec', 'target', '--', 'no-such-program']);
      expect(code).not.toBe(0);
      expect(stderr).toContain('no-such-program');
    });

    it('ends the program when the client goes away', async () => {
      const client = spawn('kubectl', ['exec', 'target', '--', 'sh', '-c', 'echo here; exec sleep 4242'], {
        env: stack.env,
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      await new Promise((resolve) => client.stdout.once('data', resolve));
      const running = async (): Promise<string> =>
        (await stack.kubectl(['exec', 'target', '--', 'sh', '-c', 'ps ax -o comm,args | grep -c "^sleep .*4242"'])).stdout.trim();
      expect(await running()).toBe('1');
      client.kill('SIGKILL');
      await expect.poll(running, { timeout: 10_000 }).toBe('0');
    });

    it('lets kubectl cp move 20 MB in and out, byte for byte', async () => {
      const bytes = randomBytes(20_000_000);
      const [there, back] = [path.join(stack.home, 'there'), path.join(stack.home, 'back')];
      writeFileSync(there, bytes);
      await kubectl('cp', there, 'target:/data/blob');
      expect(await kubectl('exec', 'target', '--', 'sha256sum', '/data/blob')).toContain(digest(bytes));
      // kubectl refuses an archive whose names do not begin with the path it asked for; the loopback map rewrites that path.
      const driver = await kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].metadata.labels.dynamo-labs\\.dev/podnet}');
      if (driver === 'loopback') return;
      await kubectl('cp', 'target:/data/blob', back);
      expect(digest(readFileSync(back))).toBe(digest(bytes));
    });
  });

  describe('kubectl port-forward', () => {
    it('reaches a port of the pod with 8 MB each way, and says when nothing listens', async () => {
      const echo = `require('net').createServer((s)=>s.pipe(s)).listen(7000,'127.0.0.1')`;
      await kubectl('run', 'echo', '--image=nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.1', '--command', '--', 'node', '-e', echo);
      await kubectl('wait', 'pod/echo', '--for=condition=Ready', '--timeout=30s');
      const forward = spawn('kubectl', ['port-forward', 'pod/echo', ':7000', ':7001'], { env: stack.env, stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      forward.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
      forward.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await expect.poll(() => text).toMatch(/127\.0\.0\.1:\d+ -> 7001/);
      const local = (port: number): number => Number(new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${port}`).exec(text)?.[1]);
      const sent = randomBytes(8_000_000);
      await expect.poll(async () => digest(await exchange(local(7000), sent)), { timeout: 20_000 }).toBe(digest(sent));
      net.connect(local(7001), '127.0.0.1').on('error', () => {});
      await expect.poll(() => text).toContain('connection refused');
      forward.kill();
    });
  });

  /** What comes back for `sent`; empty when the connection fails. */
  function exchange(port: number, sent: Buffer): Promise<Buffer> {
    return new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1');
      const chunks: Buffer[] = [];
      let size = 0;
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= sent.length) socket.destroy();
      });
      socket.on('error', () => resolve(Buffer.alloc(0)));
      socket.on('close', () => resolve(Buffer.concat(chunks)));
      socket.write(sent);
    });
  }

  describe('kubectl run -i --rm', () => {
    it('attaches: answers, ends with stdin, and removes its pod', async () => {
      const { stdout, code } = await stack.kubectl(['run', 'debug', '-i', '--rm', '--restart=Never', '--image=busybox', '--', 'sh'], {
        input: 'echo $((6*7))\nexit 0\n',
      });
      expect(stdout).toContain('42');
      expect(code).toBe(0);
      expect((await stack.kubectl(['get', 'pod', 'debug'])).code).toBe(1);
    });

    it('shows all output of a program that ends at once, and once', async () => {
      for (let attempt = 0; attempt < 6; attempt++) {
        const { stdout, stderr, code } = await stack.kubectl(
          ['run', `brief-${attempt}`, '-i', '--rm', '--restart=Never', '--image=busybox', '--', 'sh', '-c', 'echo said; exit 3'],
          { input: '' },
        );
        expect([stdout.match(/said/g), code]).toEqual([['said'], 3]);
        expect(stderr).not.toContain("couldn't attach");
      }
    });

    it('busybox has nslookup', async () => {
      const ask = ['run', 'asks', '-i', '--rm', '--restart=Never', '--image=busybox', '--', 'nslookup', 'kubernetes.default.svc.cluster.local'];
      const { stdout, code } = await stack.kubectl(ask, { input: '' });
      expect(stdout).toContain('Name:\tkubernetes.default.svc.cluster.local\nAddress: 10.96.0.1\n');
      expect(code).toBe(0);
    });

    it('-it is a shell in a terminal; its exit code is the exit code of kubectl', async () => {
      const command = 'kubectl run term -it --rm --restart=Never --image=alpine -- sh';
      const session = spawn('script', ['-qec', command, '/dev/null'], { env: stack.env, stdio: ['pipe', 'pipe', 'inherit'] });
      let output = '';
      session.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const closed = new Promise((resolve) => session.once('close', resolve));
      await expect.poll(() => output, { timeout: 20_000 }).toContain('try pressing enter');
      session.stdin.write('echo $((40+2)); test -t 0 && echo terminal; exit 4\n');
      expect(await closed).toBe(4);
      expect(output).toMatch(/\b42\s+terminal\b/);
      expect(output).not.toContain("couldn't attach");
    });
  });
});
