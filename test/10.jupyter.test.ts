import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './support/stack.ts';

describe('JupyterLab of a stack', () => {
  let stack: Stack;
  let origin: string;
  let token: string;
  const ownBefore = ownJupyter();
  const ask = (file: string, init: { method?: string; body?: string } = {}): Promise<Response> =>
    fetch(`${origin}${file}`, { ...init, headers: { authorization: `token ${token}` }, signal: AbortSignal.timeout(30_000) });
  beforeAll(async () => {
    stack = await startStack({ components: ['controlplane', 'jupyter'] });
    const url = new URL(stack.local.url ?? '');
    origin = url.origin;
    token = url.searchParams.get('token') ?? '';
  });
  afterAll(() => stack.close());

  it('opens the first lab by the printed URL, and nothing without its token', async () => {
    expect(stack.local.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/lab\/tree\/03-kv-aware-routing\/lab\.ipynb\?token=[0-9a-f]{48}$/);
    expect((await fetch(stack.local.url ?? '')).status).toBe(200);
    expect((await ask('/api/contents/03-kv-aware-routing/lab.ipynb')).status).toBe(200);
    expect((await fetch(`${origin}/api/contents`)).status).toBe(403);
  });

  it('offers the TypeScript kernel first', async () => {
    const specs = (await (await ask('/api/kernelspecs')).json()) as { default: string; kernelspecs: Record<string, unknown> };
    expect(specs.default).toBe('tslab');
    expect(specs.kernelspecs).toHaveProperty('tslab');
  });

  it("keeps token and configuration private, and leaves the person's own Jupyter alone", () => {
    for (const file of ['jupyter.json', 'jupyter/config/jupyter_server_config.json']) expect(statSync(path.join(stack.home, file)).mode & 0o077).toBe(0);
    expect(ownJupyter()).toEqual(ownBefore);
    // A command line is readable by everybody on the machine.
    const pid = stack.local.supervisor.processes.find(({ spec }) => spec.name === 'jupyter')?.identity?.pid ?? 0;
    if (process.platform === 'linux') expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(token);
  });

  it('comes back on the same address after it dies, and what it had started is ended with the stack', async () => {
    const jupyter = stack.local.supervisor.processes.find(({ spec }) => spec.name === 'jupyter');
    process.kill(jupyter?.identity?.pid ?? 0, 'SIGKILL');
    await expect.poll(() => jupyter?.restarts, { timeout: 60_000 }).toBe(1);
    const terminal = await ask('/api/terminals', { method: 'POST' });
    expect(terminal.status).toBe(200);
    expect((await ask('/api/kernels', { method: 'POST', body: '{"name":"tslab"}' })).status).toBe(201);
    expect(tagged(stack.local.supervisor.id).length).toBeGreaterThanOrEqual(3);
    await stack.close();
    expect(tagged(stack.local.supervisor.id)).toEqual([]);
  });
});

/** Processes that carry the stack's id. */
function tagged(id: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`DYNAMO_LABS_STACK=${id}`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

function ownJupyter(): string[] {
  return ['.jupyter', '.ipython', path.join('.local', 'share', 'jupyter')].filter((name) => existsSync(path.join(homedir(), name)));
}
