import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, complete, sameWords } from './support/completions.ts';
import { randomTokens, seededRandom } from './support/randomPrompts.ts';
import { RequestPlaneProxy } from './support/requestPlaneProxy.ts';
import { metric, poolsEmpty, ready, recordOf, transferredBytes, workerState } from './support/requestRecords.ts';
import { eventually, servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';

// The three failures in the logs of seeds 000 and 001. Each is made by what really makes it, is in the logs with the seeds' words, and our records say on
// which plane it was: the seeds took all three for one broken KV transfer.

const model = 'Qwen/Qwen2.5-1.5B-Instruct';
const random = seededRandom(48);
const words = {
  expired: (requestId: string, seconds: number) =>
    `Releasing expired KV blocks for request ${requestId} which were retrieved by 0 decode worker(s) within ${seconds} seconds`,
  brokenPipe: 'dynamo_runtime::pipeline::network::tcp::client: failed to join writer task: I/O error: Broken pipe (os error 32)',
  reset: 'invalid line protocol: Io(Os { code: 104, kind: ConnectionReset, message: "Connection reset by peer" })',
};
const leaseSeconds = 1;

let group: ServingGroup;
let prefill: ServingProcess;
let decode: ServingProcess;
let frontend: ServingProcess;
let network: RequestPlaneProxy;
let decodeAddress: string;

/** What the KV plane counts as failed, on both workers. */
async function transferFailures(): Promise<number> {
  const of = async (worker: ServingProcess): Promise<number> =>
    (await metric(worker, 'dynamo_labs_kv_transfer_transfers_total')) -
    (await metric(worker, 'dynamo_labs_kv_transfer_transfers_total', { result: 'SUCCESS' })) +
    (await metric(worker, 'dynamo_labs_kv_transfer_retries_total')) +
    (await metric(worker, 'dynamo_labs_kv_transfer_checksum_failures_total'));
  return (await of(prefill)) + (await of(decode));
}

/** A stream of many tokens from the decode worker, of which some have come. */
async function streaming(to: ServingProcess): Promise<{ requestId: string; answer: Promise<Answer> }> {
  const requestId = `streaming-${Math.floor(random() * 1e9)}`;
  const begun = Promise.withResolvers<void>();
  const request = { model, prompt: randomTokens(random, 500), max_tokens: 6_000, temperature: 0, ignore_eos: true, stream: true };
  const answer = complete(to, request, { requestId, onToken: () => begun.resolve() });
  await Promise.race([begun.promise, answer]);
  return { requestId, answer };
}

beforeAll(async () => {
  group = await servingGroup({ VLLM_NIXL_ABORT_REQUEST_TIMEOUT: String(leaseSeconds) });
  [prefill, decode] = await Promise.all([group.startPrefillWorker(), group.startDecodeWorker()]);
  decodeAddress = (await workerState(decode)).request_plane.address;
  const shown = path.join(group.dir, 'shown');
  network = await RequestPlaneProxy.between(path.join(group.dir, 'kv'), shown);
  frontend = await group.startFrontend(['--migration-limit', '0', '--decode-fallback'], { DYN_FILE_KV: shown });
  await ready(frontend, { decode: 1, prefill: 1 });
});
afterAll(async () => {
  await group?.close();
  await network?.[Symbol.asyncDispose]();
});

describe('“retrieved by 0 decode worker(s)”', () => {
  it('nobody came for the blocks in time: the prefill worker gives them up, a late reader is refused, the request falls back', async () => {
    const prompt = randomTokens(random, 300);
    const request = { model, prompt, max_tokens: 8, temperature: 0, ignore_eos: true, logprobs: 1 };
    const before = await metric(prefill, 'dynamo_labs_kv_transfer_leases_ended_total', { end: 'expired_idle' });
    decode.kill('SIGSTOP');
    const requestId = 'too-late';
    const answering = complete(frontend, request, { requestId });
    try {
      await eventually(
        async () => prefill.log(),
        (log) => log.includes(words.expired(requestId, leaseSeconds)),
      );
      expect((await workerState(prefill)).engine).toMatchObject({ usedBlocks: 0, heldBlocks: 0 });
    } finally {
      decode.kill('SIGCONT');
    }
    const late = await answering;
    expect(late.error).toBeUndefined();
    const record = await recordOf(frontend, requestId);
    expect(record).toMatchObject({ path: 'fallback', status: 'ok', cause: { plane: 'kv_transfer', code: 'KV_TRANSFER_FAILED' } });
    expect(record.cause?.message).toContain('EXPIRED');
    expect(await metric(prefill, 'dynamo_labs_kv_transfer_leases_ended_total', { end: 'expired_idle' })).toBe(before + 1);
    // Success in spite of the warning: the record says how. The next one is served as it should be, with the same words.
    const [after] = await poolsEmpty([prefill, decode]).then(async () => [await complete(frontend, request)]);
    expect(sameWords(after!)).toEqual(sameWords(late));
    expect(await recordOf(frontend, after!.requestId)).toMatchObject({ path: 'disaggregated' });
    // It is the only timer of these blocks; the response plane saw nothing.
    expect(decode.log() + prefill.log()).not.toContain('Broken pipe');
  });
});

describe('“Connection reset by peer”, “invalid line protocol”', () => {
  it('the response stream was reset, not the KV transfer: the record says request plane, the KV counters say nothing', async () => {
    const failures = await transferFailures();
    const { requestId, answer } = await streaming(frontend);
    const bytes = await transferredBytes(decode);
    expect(network.reset(decodeAddress)).toBeGreaterThan(0);
    const { error } = await answer;
    expect(error?.code).toBeDefined();
    const log = await eventually(
      async () => decode.log(),
      (text) => text.includes(words.reset),
    );
    expect(log).toMatch(/reader task failed to join \(peer_port: Some\(\d+\), subject: [\w.:-]+\)/);
    expect(log).toContain('plane="request (response stream)"');
    expect(log).toContain(`request_ids=${requestId}`);
    const record = await recordOf(frontend, requestId);
    expect(record).toMatchObject({ path: 'error', status: 'error', transfer: { status: 'ok' }, cause: { plane: 'request', code: 'CONNECTION_LOST' } });
    expect(record.cause?.message).toContain('ECONNRESET');
    expect(await transferFailures()).toBe(failures);
    expect(await transferredBytes(decode)).toEqual(bytes);
    await poolsEmpty([prefill, decode]);
    expect((await complete(frontend, { model, prompt: [5, 6, 7], max_tokens: 2 })).error).toBeUndefined();
  });
});

describe('“Broken pipe (os error 32)”', () => {
  it('the requester has closed the connection: the worker’s next words meet nobody, its work ends, the KV plane is not concerned', async () => {
    const failures = await transferFailures();
    const { requestId, answer } = await streaming(frontend);
    expect(await network.leave(decodeAddress)).toBeGreaterThan(0);
    expect((await answer).error?.code).toBeDefined();
    const log = await eventually(
      async () => decode.log(),
      (text) => text.includes(words.brokenPipe) && text.includes(`request_ids=${requestId} cause="the requester has closed`),
    );
    expect(log).toContain(words.brokenPipe);
    expect(await recordOf(frontend, requestId)).toMatchObject({
      path: 'error',
      transfer: { status: 'ok' },
      cause: { plane: 'request', code: 'CONNECTION_LOST' },
    });
    expect(await transferFailures()).toBe(failures);
    await poolsEmpty([prefill, decode]);
  });

  it('as when a frontend is killed while it is answered', async () => {
    const other = await group.startFrontend();
    await ready(other, { decode: 1, prefill: 1 });
    const { requestId, answer } = await streaming(other);
    // The worker is held until all it said has been read: the frontend's end is then an orderly one for the kernel.
    decode.kill('SIGSTOP');
    await sleep(200);
    other.kill('SIGKILL');
    await other.exited;
    decode.kill('SIGCONT');
    expect((await answer).error?.code).toBe('CONNECTION');
    await eventually(
      async () => decode.log(),
      (text) => text.includes(`request_ids=${requestId} cause="the requester has closed`),
    );
    await poolsEmpty([prefill, decode]);
  });

  it('a client that leaves is no failure at all: the frontend cancels its work over the open connection', async () => {
    const before = decode.log().split('Broken pipe').length;
    const controller = new AbortController();
    const requestId = 'client-leaves';
    const begun = Promise.withResolvers<void>();
    const request = { model, prompt: randomTokens(random, 100), max_tokens: 6_000, temperature: 0, ignore_eos: true, stream: true };
    const answer = complete(frontend, request, { requestId, signal: controller.signal, onToken: () => begun.resolve() });
    await begun.promise;
    controller.abort();
    await answer;
    const record = await recordOf(frontend, requestId);
    expect(record).toMatchObject({ path: 'disaggregated', status: 'cancelled' });
    expect(record.cause).toBeUndefined();
    await poolsEmpty([prefill, decode]);
    expect(decode.log().split('Broken pipe').length).toBe(before);
  });
});
