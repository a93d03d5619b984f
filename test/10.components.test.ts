import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveKubernetes, stateLayout, type StateLayout } from '../backend/src/controlplane/index.ts';
import { resolveNats } from '../backend/src/controlplane/natsServer.ts';

/** What a file of the release site is answered with. */
type Answer = Buffer | 'missing' | 'cut';

/** A release site on loopback with the paths of dl.k8s.io and of GitHub's releases, and a PATH with tar but without Go. */
describe('Kubernetes programs', () => {
  let dir: string;
  let layout: StateLayout;
  let server: Server;
  let requests: string[];
  const files = new Map<string, Answer>();
  const kubernetes = `/v1.36.3/bin/linux/${process.arch === 'x64' ? 'amd64' : 'arm64'}`;
  const etcdFolder = `etcd-v3.6.8-linux-${process.arch === 'x64' ? 'amd64' : 'arm64'}`;
  const context = (extra: NodeJS.ProcessEnv = {}): { env: NodeJS.ProcessEnv; signal: AbortSignal; log: (note: string) => void } => {
    const { port } = server.address() as AddressInfo;
    const site = `http://127.0.0.1:${port}`;
    const env = { PATH: path.join(dir, 'tools'), DYNAMO_LABS_KUBERNETES_URL: site, DYNAMO_LABS_ETCD_URL: site, DYNAMO_LABS_NATS_URL: site, ...extra };
    return { env, signal: AbortSignal.timeout(60_000), log: () => {} };
  };
  const cacheFiles = (): string[] => readdirSync(path.join(layout.cache, 'kubernetes'), { recursive: true }).map(String);

  beforeEach(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-components-'));
    layout = stateLayout({ DYNAMO_LABS_HOME: path.join(dir, 'home') });
    mkdirSync(path.join(dir, 'tools'));
    requests = [];
    files.clear();
    for (const name of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl']) {
      publish(name, Buffer.from(`#!/bin/sh\necho Kubernetes v1.36.3\n# ${'x'.repeat(4000)}\n`));
    }
    mkdirSync(path.join(dir, etcdFolder));
    writeFileSync(path.join(dir, etcdFolder, 'etcd'), '#!/bin/sh\necho etcd Version: 3.6.8\n', { mode: 0o755 });
    const archive = execFileSync('tar', ['-czf', '-', '-C', dir, etcdFolder]);
    files.set(`/v3.6.8/${etcdFolder}.tar.gz`, archive);
    files.set('/v3.6.8/SHA256SUMS', Buffer.from(`${sha256(archive)}  ${etcdFolder}.tar.gz\n`));
    server = createServer((request, response) => {
      requests.push(request.url ?? '');
      const answer = files.get(request.url ?? '') ?? 'missing';
      if (answer === 'missing') response.writeHead(404).end('not found');
      else if (answer === 'cut') {
        response.writeHead(200, { 'content-length': 1_000_000 });
        response.write(Buffer.alloc(1000), () => response.destroy());
      } else response.writeHead(200, { 'content-length': answer.length }).end(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true });
  });

  function publish(name: string, content: Buffer): void {
    files.set(`${kubernetes}/${name}`, content);
    files.set(`${kubernetes}/${name}.sha256`, Buffer.from(`${sha256(content)}\n`));
  }

  it('are downloaded once, checked, and found in the cache from then on', async () => {
    const binaries = await resolveKubernetes(layout, context());
    expect(execFileSync(binaries['kube-apiserver'], { encoding: 'utf8' })).toContain('v1.36.3');
    expect(execFileSync(binaries.etcd, { encoding: 'utf8' })).toContain('3.6.8');
    const before = requests.length;
    expect(await resolveKubernetes(layout, context())).toEqual(binaries);
    expect(requests).toHaveLength(before);
  });

  it.each<[string, () => void, RegExp]>([
    [
      'a corrupt file',
      () => files.set(`${kubernetes}/kube-scheduler`, Buffer.from('something else')),
      /kube-scheduler: the file is not what its checksum says/,
    ],
    ['a missing file', () => files.delete(`${kubernetes}/kubectl`), /kubectl: the server answers HTTP 404/],
    ['a missing checksum', () => files.delete(`${kubernetes}/kube-apiserver.sha256`), /kube-apiserver\.sha256: the server answers HTTP 404/],
    ['a checksum that is a web page', () => files.set(`${kubernetes}/kubectl.sha256`, Buffer.from('<html>sign in</html>')), /is no SHA-256 checksum/],
    ['a cut connection', () => files.set(`${kubernetes}/kube-apiserver`, 'cut'), /kube-apiserver: the connection was cut after \d+ of 1000000 bytes/],
    ['a corrupt archive', () => files.set(`/v3.6.8/${etcdFolder}.tar.gz`, Buffer.from('no archive')), /etcd.*: the file is not what its checksum says/],
  ])('%s: says so, falls through to the build, and leaves no part of it behind', async (_, spoil, message) => {
    spoil();
    const error = await resolveKubernetes(layout, context()).catch((thrown: unknown) => thrown as Error);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/build: Go 1\.26 or newer is needed to build it, and no go was found/);
    expect((error as { mend?: string }).mend).toMatch(/internet|install Go/);
    expect(cacheFiles()).toEqual([]);
  });

  it('an unreachable site is given up quickly', async () => {
    const unreachable = context();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(resolveKubernetes(layout, unreachable)).rejects.toThrow(/could not be reached \(ECONNREFUSED\)/);
  });

  it('are built where the download fails and there is a Go, with the version in their names', async () => {
    files.clear();
    // Stands for Go: what is tested is the order, the flags and the folder; a real build takes minutes.
    const go = `#!/bin/sh
case "$1" in
  env) echo go1.26.8 ;;
  mod) ;;
  list) echo a; echo b ;;
  build) echo "$@" > ${path.join(dir, 'flags')}; while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\\necho built $(basename $0)\\n' > "$2"; chmod +x "$2" ;;
esac
`;
    writeFileSync(path.join(dir, 'tools', 'go'), go, { mode: 0o755 });
    const notes: string[] = [];
    const binaries = await resolveKubernetes(layout, {
      ...context({ PATH: `${path.join(dir, 'tools')}:${process.env['PATH']}` }),
      log: (note) => notes.push(note),
    });
    expect(execFileSync(binaries['kube-scheduler'], { encoding: 'utf8' })).toBe('built kube-scheduler\n');
    expect(readFileSync(path.join(dir, 'flags'), 'utf8')).toContain('-X k8s.io/component-base/version.gitVersion=v1.36.3');
    expect(notes.at(-1)).toMatch(/builds once from Go modules/);
    expect(cacheFiles().filter((name) => name.startsWith('.new-') || name.startsWith('.lock'))).toEqual([]);
  });

  it('a Go that is too old is named', async () => {
    files.clear();
    writeFileSync(path.join(dir, 'tools', 'go'), '#!/bin/sh\necho go1.24.1\n', { mode: 0o755 });
    await expect(resolveKubernetes(layout, context({ PATH: `${path.join(dir, 'tools')}:${process.env['PATH']}` }))).rejects.toThrow(
      /Go 1\.26 or newer is needed to build it, and this is go1\.24\.1/,
    );
  });

  it('KUBEBUILDER_ASSETS and PATH win over the cache, but only with a fitting version', async () => {
    const assets = path.join(dir, 'assets');
    const put = (version: string): void => {
      mkdirSync(assets, { recursive: true });
      for (const name of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl']) {
        writeFileSync(path.join(assets, name), `#!/bin/sh\necho Kubernetes ${version}\n`, { mode: 0o755 });
      }
      writeFileSync(path.join(assets, 'etcd'), '#!/bin/sh\necho etcd Version: 3.6.8\n', { mode: 0o755 });
    };
    put('v1.36.5');
    expect((await resolveKubernetes(layout, context({ KUBEBUILDER_ASSETS: assets }))).kubectl).toBe(path.join(assets, 'kubectl'));
    expect((await resolveKubernetes(layout, context({ PATH: `${assets}:${process.env['PATH']}` }))).etcd).toBe(path.join(assets, 'etcd'));
    expect(requests).toEqual([]);
    put('v1.35.2');
    expect((await resolveKubernetes(layout, context({ KUBEBUILDER_ASSETS: assets }))).kubectl).toContain(layout.cache);
  });

  it('two processes that miss them get them once', async () => {
    const [first, second] = await Promise.all([resolveKubernetes(layout, context()), resolveKubernetes(layout, context())]);
    expect(second).toEqual(first);
    expect(requests.filter((url) => url.endsWith('/kubectl'))).toHaveLength(1);
  });

  it('nats-server is downloaded the same way', async () => {
    const folder = `nats-server-v2.12.2-${process.platform}-${process.arch === 'x64' ? 'amd64' : 'arm64'}`;
    mkdirSync(path.join(dir, folder));
    writeFileSync(path.join(dir, folder, 'nats-server'), '#!/bin/sh\necho nats-server: v2.12.2\n', { mode: 0o755 });
    const archive = execFileSync('tar', ['-czf', '-', '-C', dir, folder]);
    files.set(`/v2.12.2/${folder}.tar.gz`, archive);
    files.set('/v2.12.2/SHA256SUMS', Buffer.from(`${sha256(archive)}  ${folder}.tar.gz\n`));
    const file = await resolveNats(layout, context());
    expect(execFileSync(file, { encoding: 'utf8' })).toContain('v2.12.2');
    expect(existsSync(path.join(layout.cache, 'nats', 'bin', 'nats.tar.gz'))).toBe(false);
  });
});

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
