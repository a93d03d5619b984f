import { once } from 'node:events';
import { createServer } from 'node:net';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLlmEngine } from '../engine/index.ts';
import { someTokens, temporaryTinyModel } from '../engine/testing/tinyModels.ts';
import { createLogger } from '../observability/index.ts';
import type { EngineOutput, KvTransferParams, PreprocessedRequest } from '../protocol/index.ts';
import { MemoryDiscovery, MemoryStore, TcpRequestClient, tcpOptionsFromEnv, type Instance } from '../runtime/index.ts';
import { TransferAgent } from '../transfer/index.ts';
import { parseWorkerArguments } from './arguments.ts';
import { transferSettings } from './kvTransfer/index.ts';
import { Worker } from './worker.ts';

const files = temporaryTinyModel();
afterAll(() => files[Symbol.dispose]());
const client = new TcpRequestClient(tcpOptionsFromEnv({}));
afterAll(() => client.close());

let folder: string;
let store: MemoryStore;
const open: Worker[] = [];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-pair-'));
  store = new MemoryStore();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((worker) => worker.close(0)));
  rmSync(folder, { recursive: true });
});

interface Started {
  worker: Worker;
  address: string;
  instance: Instance;
  log: string[];
  state: () => Promise<{ disaggregation: Record<string, unknown>; engine: Record<string, number> }>;
  metrics: () => Promise<string>;
}

async function start(pod: string, argv: string[], extra: Record<string, string> = {}): Promise<Started> {
  const env = { DYN_SYSTEM_PORT: '0', DYN_NAMESPACE: 'ns', POD_NAME: pod, DYNAMO_LABS_TRANSFER_DIR: folder, ...extra };
  const log: string[] = [];
  const worker = await Worker.start({
    flags: parseWorkerArguments(['--model', files.dir, '--served-model-name', 'm', '--num-gpu-blocks-override', '64', ...argv], env),
    logger: createLogger({ target: pod, write: (line) => log.push(line) }),
    env,
    discovery: new MemoryDiscovery(store),
    createEngine: createLlmEngine,
  });
  open.push(worker);
  const instance = store.instances.get(worker.instanceId!)!;
  const get = (route: string) => fetch(`http://127.0.0.1:${worker.systemPort}${route}`);
  return {
    worker,
    instance,
    log,
    address: instance.endpoints['generate']!.tcp!,
    state: async () => (await get('/engine/state')).json() as ReturnType<Started['state']>,
    metrics: async () => (await get('/metrics')).text(),
  };
}

const request = (requestId: string, length: number): PreprocessedRequest => ({
  request_id: requestId,
  model: 'm',
  token_ids: someTokens(length),
  stop_conditions: { max_tokens: 4, ignore_eos: true, stop: ['x'] },
  sampling_options: { temperature: 0 },
  output_options: {},
});

async function call({ address }: Started, payload: PreprocessedRequest, signal?: AbortSignal): Promise<EngineOutput[]> {
  const outputs: EngineOutput[] = [];
  for await (const output of client.call<EngineOutput>({ address, endpoint: 'generate', requestId: payload.request_id, payload, ...(signal && { signal }) }))
    outputs.push(output);
  return outputs;
}
const toPrefill = (asked: PreprocessedRequest): PreprocessedRequest => ({ ...asked, kv_transfer_params: { do_remote_decode: true } });
const toDecode = ({ stop_conditions, ...asked }: PreprocessedRequest, prefilled: EngineOutput): PreprocessedRequest => ({
  ...asked,
  stop_conditions: { max_tokens: stop_conditions.max_tokens, ignore_eos: true },
  prefill_result: { disaggregated_params: prefilled.disaggregated_params! },
});

describe('a prefill and a decode worker', () => {
  it('are found by role, exchange a prompt, and account for it', async () => {
    const [prefill, decode] = [await start('p-0', ['--is-prefill-worker']), await start('d-0', ['--is-decode-worker'])];
    expect([prefill.instance.component, prefill.instance.modelCard?.model_type]).toEqual(['prefill', 'prefill']);
    expect([decode.instance.component, decode.instance.modelCard?.model_type]).toEqual(['backend', 'chat']);
    expect(statSync(path.join(folder, 'token')).mode & 0o777).toBe(0o600);
    const asked = request('r1', 70);
    const [first, ...none] = await call(prefill, toPrefill(asked));
    expect(none).toEqual([]);
    const params = first!.disaggregated_params!;
    expect(params).toMatchObject({ worker_id: String(prefill.worker.instanceId), kv_transfer_params: { remote_request_id: 'r1', remote_num_tokens: 69 } });
    expect((await prefill.state()).disaggregation).toMatchObject({ mode: 'prefill', grants: { open: 1 }, held_blocks: 5, lease_seconds: 120 });
    const outputs = await call(decode, toDecode(asked, first!));
    expect(outputs.flatMap(({ token_ids }) => token_ids)).toHaveLength(4);
    expect(outputs[0]).toMatchObject({ prompt: { transferred_tokens: 69, computed_tokens: 1 }, kv_transfer: { status: 'ok', transport: 'shm', blocks: 5 } });
    await vi.waitFor(async () => expect((await prefill.state()).disaggregation).toMatchObject({ grants: { open: 0, released: 1 }, held_blocks: 0 }));
    const bytes = 5 * decode.instance.modelCard!.engine.kv_bytes_per_block;
    expect((await decode.state()).disaggregation).toMatchObject({ mode: 'decode', transport: { bytes_read: { shm: bytes } } });
    const metrics = await decode.metrics();
    expect(metrics).toMatch(new RegExp(`^vllm:nixl_bytes_transferred_sum\\{.*\\} ${bytes}$`, 'm'));
    expect(metrics).toMatch(/^vllm:nixl_num_failed_transfers_total\{.*\} 0$/m);
    expect(metrics).toMatch(new RegExp(`^dynamo_labs_kv_transfer_read_bytes_total\\{.*transport="shm"\\} ${bytes}$`, 'm'));
    expect(decode.log.join('')).toContain('KV transfer: 5 blocks (69 tokens) read over shm');
    expect(prefill.log.join('')).toMatch(/Registering KV_Caches[\s\S]*addresses="unix:.*\.sock tcp:127\.0\.0\.1:\d+"/);
  });

  it('release at once what nobody will read: by release_kv_blocks, and when the client of the prefill leaves', async () => {
    const prefill = await start('p-0', ['--is-prefill-worker']);
    await call(prefill, toPrefill(request('gone', 70)));
    const release = async (remote_request_id: string): Promise<unknown> => {
      const at = prefill.instance.endpoints['release_kv_blocks']!.tcp!;
      for await (const answer of client.call({ address: at, endpoint: 'release_kv_blocks', requestId: 'x', payload: { remote_request_id } })) return answer;
      return undefined;
    };
    expect(await release('gone')).toEqual({ released: true });
    expect(await release('gone')).toEqual({ released: false });
    const stop = new AbortController();
    const left = call(prefill, toPrefill(request('left', 1000)), stop.signal);
    await vi.waitFor(async () => expect((await prefill.state()).engine['running']).toBe(1));
    stop.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    await vi.waitFor(async () =>
      expect(await prefill.state()).toMatchObject({ engine: { usedBlocks: 0, heldBlocks: 0 }, disaggregation: { grants: { open: 0, cancelled: 1 } } }),
    );
  });

  it('of different block sizes: refused with both values, nothing read, the prefill worker can be told', async () => {
    const [prefill, decode] = [await start('p-0', ['--is-prefill-worker']), await start('d-0', ['--is-decode-worker', '--block-size', '32'])];
    const [first] = await call(prefill, toPrefill(request('r1', 70)));
    await expect(call(decode, toDecode(request('r1', 70), first!))).rejects.toMatchObject({
      reason: 'KV_INCOMPATIBLE',
      message: expect.stringContaining('block_size is 16 there and 32 here') as string,
    });
    expect((await decode.state()).disaggregation).toMatchObject({ transport: { bytes_read: { shm: 0, uds: 0, tcp: 0 } } });
  });

  it('after the lease: KV_TRANSFER_FAILED with the transfer code, before any token; or, as configured, the prompt is computed anew', async () => {
    const prefill = await start('p-0', ['--is-prefill-worker'], { VLLM_NIXL_ABORT_REQUEST_TIMEOUT: '0.05' });
    const decode = await start('d-0', ['--is-decode-worker']);
    const config = '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_load_failure_policy":"recompute"}';
    const forgiving = await start('d-1', ['--is-decode-worker', '--kv-transfer-config', config]);
    const [first] = await call(prefill, toPrefill(request('r1', 70)));
    await vi.waitFor(async () => expect((await prefill.state()).disaggregation).toMatchObject({ grants: { open: 0, expired: 1 } }));
    expect(prefill.log.join('')).toContain('Releasing expired KV blocks for request r1 which were retrieved by 0 decode worker(s) within 0.05 seconds.');
    expect(await prefill.metrics()).toMatch(/^vllm:nixl_num_kv_expired_reqs_total\{.*\} 1$/m);
    await expect(call(decode, toDecode(request('r1', 70), first!))).rejects.toMatchObject({
      remoteCode: 'KV_TRANSFER_FAILED',
      message: expect.stringMatching(/KV transfer from \d+-p-0 over \w+ failed .* after 0 of \d+ bytes: EXPIRED/) as string,
    });
    expect(await decode.metrics()).toMatch(/^vllm:nixl_num_failed_transfers_total\{.*\} 1$/m);
    const [output] = await call(forgiving, toDecode(request('r1', 70), first!));
    expect(output).toMatchObject({ prompt: { computed_tokens: 70 }, kv_transfer: { status: 'failed', error: { code: 'EXPIRED' } } });
  });

  it('an aggregated worker has no agent, and computes what it is told to read', async () => {
    const aggregated = await start('a-0', []);
    expect((await aggregated.state()).disaggregation).toEqual({ mode: 'agg' });
    expect(await aggregated.metrics()).not.toContain('kv_transfer');
    const params: KvTransferParams = { do_remote_prefill: true, remote_num_tokens: 69, remote_block_ids: [0, 1, 2, 3, 4] };
    const asked = { ...request('r1', 70), prefill_result: { disaggregated_params: { worker_id: '1', kv_transfer_params: params } } };
    asked.stop_conditions = { max_tokens: 4, ignore_eos: true };
    expect((await call(aggregated, asked))[0]).toMatchObject({ prompt: { computed_tokens: 70 } });
    expect(aggregated.log.join('')).toContain('Got kv_transfer_params, but no KVConnector found. Disabling KVTransfer for this request.');
  });

  it('starts over the socket of a process of its name that was killed', async () => {
    const first = await start('p-0', ['--is-prefill-worker']);
    const socket = path.join(folder, `${first.worker.instanceId}.sock`);
    await first.worker.close(0);
    const killed = createServer().listen(socket);
    await once(killed, 'listening');
    expect(statSync(socket).isSocket()).toBe(true);
    const settings = transferSettings({
      namespace: 'ns',
      instanceId: first.worker.instanceId!,
      env: { DYNAMO_LABS_TRANSFER_DIR: folder },
      logger: createLogger({ target: 't', write: () => {} }),
    });
    using agent = new TransferAgent({ name: 'again', fingerprint: 'f', token: settings.token, listen: settings.listen });
    expect(agent.addresses[0]).toBe(`unix:${socket}`);
    killed.close();
  });

  it('says what is wrong with its environment', async () => {
    const started = (extra: Record<string, string>) => start('p-0', ['--is-prefill-worker'], extra);
    await expect(started({ VLLM_NIXL_ABORT_REQUEST_TIMEOUT: 'soon' })).rejects.toThrow('environment variable VLLM_NIXL_ABORT_REQUEST_TIMEOUT');
    await expect(started({ DYNAMO_LABS_TRANSFER_TRANSPORTS: 'rdma' })).rejects.toThrow("invalid choice: 'rdma' (choose from shm, uds, tcp)");
    await expect(started({ DYNAMO_LABS_TRANSFER_FAULTS: '{"plan":[{"kind":"quake","side":"read"}]}' })).rejects.toThrow('DYNAMO_LABS_TRANSFER_FAULTS');
    await expect(started({ DYNAMO_LABS_TRANSFER_DIR: path.join(folder, 'none') })).rejects.toThrow(/DYNAMO_LABS_TRANSFER_DIR: .* cannot be used: ENOENT/);
    await expect(started({ DYN_KVBM_CPU_CACHE_GB: 'much' })).rejects.toThrow('environment variable DYN_KVBM_CPU_CACHE_GB');
  });
});
