import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import {
  type FaultKind,
  NixlAgent,
  parseGrant,
  TransferAgent,
  type TransferAgentOptions,
  TransferError,
  transferMetrics,
  type TransportName,
  ucxLibrary,
} from './index.ts';

const blockBytes = 16_384;
const open: TransferAgent[] = [];
let serial = 0;

const listenOn = () => [`unix:@dynamo-labs-unit-${process.pid}-${serial++}`, 'tcp:127.0.0.1:0', 'tcp:[::1]:0'];

function agent(name: string, options: Partial<TransferAgentOptions> = {}): TransferAgent {
  const made = new TransferAgent({ name, fingerprint: 'unit', token: 'secret', listen: listenOn(), ...options });
  open.push(made);
  return made;
}
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

const cases: { transport: TransportName; prefix: string }[] = [
  { transport: 'shm', prefix: 'unix:' },
  { transport: 'uds', prefix: 'unix:' },
  { transport: 'tcp', prefix: 'tcp:127' },
  { transport: 'tcp', prefix: 'tcp:[' },
];

function fill(buffer: ArrayBuffer, seed: number): void {
  const words = new Uint32Array(buffer);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[i] = state;
  }
}

describe.each(cases)('over $transport ($prefix)', ({ transport, prefix }) => {
  function pair(ownerOptions: Partial<TransferAgentOptions> = {}, readerOptions: Partial<TransferAgentOptions> = {}) {
    const owner = agent('prefill', ownerOptions);
    const reader = agent('decode', readerOptions);
    const from = owner.createPool({ blocks: 64, blockBytes });
    const to = reader.createPool({ blocks: 64, blockBytes });
    fill(from.buffer, 42);
    const only = { transports: [transport] };
    const narrowed = <T extends { addresses: string[] }>(grant: T): T => ({
      ...grant,
      addresses: grant.addresses.filter((address) => address.startsWith(prefix)),
    });
    return { owner, reader, from, to, only, narrowed };
  }

  test('blocks arrive byte for byte, the grant travels as JSON, the owner hears of it', async () => {
    const { owner, reader, from, to, only, narrowed } = pair();
    const heard = new Promise((resolve) => owner.onNotification(resolve));
    const ended = new Promise((resolve) => owner.onGrantEnded(resolve));
    const grant = parseGrant(JSON.parse(JSON.stringify(narrowed(from.grant([5, 6, 60, 1], { requestId: 'r1' })))));
    const report = await reader.read(grant, to, [0, 9, 2, 3], { ...only, notification: 'r1:1' }).done;
    for (const [remote, local] of [
      [5, 0],
      [6, 9],
      [60, 2],
      [1, 3],
    ] as const)
      expect(Buffer.compare(to.block(local), from.block(remote))).toBe(0);
    expect(report).toMatchObject({ code: 'SUCCESS', transport, bytesDone: 4 * blockBytes, blocksDone: 4, fallbacks: [] });
    expect(report.timeline.map((step) => step.what)).toEqual(expect.arrayContaining(['queued', 'first_byte', 'done']));
    expect(await heard).toEqual({ from: 'decode', payload: Buffer.from('r1:1') });
    expect(await ended).toMatchObject({ end: 'released', requestId: 'r1' });
  });

  test('a revoked, expired or withdrawn block is EXPIRED, with all that is known about it', async () => {
    const { owner, reader, from, to, only, narrowed } = pair();
    const revoked = narrowed(from.grant([1]));
    expect(owner.revoke(revoked)).toBe(true);
    await expect(reader.read(revoked, to, [0], only).done).rejects.toMatchObject({
      name: 'TransferError',
      code: 'EXPIRED',
      peer: 'prefill',
      transport,
      bytesDone: 0,
      retryable: false,
    });
    const withdrawn = narrowed(from.grant([2]));
    from.withdraw(2);
    await expect(reader.read(withdrawn, to, [0], only).done).rejects.toMatchObject({ code: 'EXPIRED' });
    const ended = new Promise((resolve) => owner.onGrantEnded((event) => event.requestId === 'short' && resolve(event.end)));
    const expired = narrowed(from.grant([3], { leaseMs: 30, requestId: 'short' }));
    expect(await ended).toBe('expired_idle');
    await expect(reader.read(expired, to, [0], only).done).rejects.toMatchObject({ code: 'EXPIRED' });
  });

  test('push: done means verified at the target', async () => {
    const { owner, reader, from, to, only, narrowed } = pair();
    const heard = new Promise<string>((resolve) => reader.onNotification(({ payload }) => resolve(payload.toString())));
    const grant = narrowed(to.grant([7, 8], { writable: true }));
    await owner.write(grant, from, [10, 20], { ...only, notification: 'pushed' }).done;
    expect(Buffer.compare(to.block(7), from.block(10))).toBe(0);
    expect(Buffer.compare(to.block(8), from.block(20))).toBe(0);
    expect(await heard).toBe('pushed');
    await expect(owner.write(narrowed(to.grant([7])), from, [1], only).done).rejects.toMatchObject({ code: 'INVALID_PARAM' });
  });

  test('cancelled by its signal while it stalls; the fault says that it happened', async () => {
    const { reader, from, to, only, narrowed } = pair(
      {},
      { inlineBytes: 0, faults: { enable: true, seed: 1, plan: [{ kind: 'stall', side: 'read', afterBytes: 100_000, ms: 60_000 }] } },
    );
    const stop = new AbortController();
    const all = Array.from({ length: 64 }, (_, index) => index);
    const transfer = reader.read(narrowed(from.grant(all)), to, all, { ...only, signal: stop.signal });
    while (reader.faultReports().length === 0) await sleep(2);
    stop.abort();
    await expect(transfer.done).rejects.toMatchObject({ code: 'CANCELED' });
    expect(transfer.progress().phase).toBe('done');
    expect(reader.faultReports()).toMatchObject([{ kind: 'stall', side: 'read' }]);
  });
});

test('falls back from a transport that is not there, and says so in the result and the metrics', async () => {
  const owner = agent('prefill');
  const reader = agent('decode');
  const from = owner.createPool({ blocks: 2, blockBytes });
  const to = reader.createPool({ blocks: 2, blockBytes });
  const grant = from.grant([0]);
  grant.addresses = ['unix:@dynamo-labs-nobody', ...grant.addresses.filter((address) => address.startsWith('tcp'))];
  const report = await reader.read(grant, to, [0]).done;
  expect(report.transport).toBe('tcp');
  expect(report.fallbacks.map((fallback) => [fallback.from, fallback.code])).toEqual([
    ['shm', 'REMOTE_DISCONNECT'],
    ['uds', 'REMOTE_DISCONNECT'],
  ]);
  expect(transferMetrics(reader)).toMatch(/dynamo_labs_kv_transfer_fallbacks_total\{agent="decode",from="shm"\} 1/);
  expect(transferMetrics(reader)).toMatch(/transfers_total\{agent="decode",transport="tcp",result="SUCCESS"\} 1/);
});

test('UCX where it is installed, a visible fall-back where it is not', async () => {
  const library = ucxLibrary();
  const installed = 'version' in library;
  const owner = agent('prefill', { listen: [...listenOn(), ...(installed ? ['ucx:127.0.0.1:0'] : [])] });
  const reader = agent('decode');
  const from = owner.createPool({ blocks: 8, blockBytes });
  fill(from.buffer, 5);
  const to = reader.createPool({ blocks: 8, blockBytes });
  const report = await reader.read(from.grant([1, 2, 3]), to, [4, 5, 6], { transports: ['ucx', 'tcp'], notification: 'done' }).done;
  expect(Buffer.compare(to.block(6), from.block(3))).toBe(0);
  if (installed) expect(report).toMatchObject({ transport: 'ucx', fallbacks: [] });
  else {
    expect(report).toMatchObject({ transport: 'tcp', fallbacks: [{ from: 'ucx', code: 'NOT_SUPPORTED' }] });
    expect(() => agent('x', { listen: ['ucx:127.0.0.1:0'] })).toThrow(expect.objectContaining({ code: 'NOT_SUPPORTED' }));
    console.log(`UCX is absent: ${library.missing}`);
  }
});

test('memory that was there before is read by socket, and says so', async () => {
  const owner = agent('prefill');
  const reader = agent('decode');
  const memory = new ArrayBuffer(4 * blockBytes);
  fill(memory, 8);
  const from = owner.createPool({ blocks: 4, blockBytes, memory });
  expect(from.buffer).toBe(memory);
  const to = reader.createPool({ blocks: 4, blockBytes, memory: new ArrayBuffer(4 * blockBytes) });
  const report = await reader.read(from.grant([0, 3]), to, [1, 2]).done;
  expect(report).toMatchObject({ transport: 'uds', fallbacks: [{ from: 'shm', code: 'NOT_SUPPORTED', phase: 'map' }] });
  expect(Buffer.compare(to.block(2), from.block(3))).toBe(0);
  expect(() => owner.createPool({ blocks: 5, blockBytes, memory })).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
  from.drop();
});

test('identity: token, fingerprint and epoch', async () => {
  const owner = agent('prefill');
  const refused: string[] = [];
  owner.onRefused((event) => refused.push(event.code));
  const from = owner.createPool({ blocks: 1, blockBytes });
  const attempt = async (options: Partial<TransferAgentOptions>, epoch = owner.epoch) => {
    const reader = agent('decode', options);
    const to = reader.createPool({ blocks: 1, blockBytes });
    const error: TransferError = await reader.read({ ...from.grant([0]), epoch }, to, [0]).done.then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(TransferError);
    return error.code;
  };
  expect(await attempt({ token: 'guess' })).toBe('UNAUTHORIZED');
  expect(await attempt({ fingerprint: 'another model' })).toBe('MISMATCH');
  expect(await attempt({}, '77')).toBe('EPOCH_MISMATCH');
  expect(refused).toEqual(['UNAUTHORIZED']); // the other two readers see for themselves that they are wrong here
});

test('misuse is refused before anything moves', () => {
  const owner = agent('prefill');
  const from = owner.createPool({ blocks: 2, blockBytes });
  const other = owner.createPool({ blocks: 2, blockBytes: 4096 });
  expect(() => from.grant([2])).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
  expect(() => owner.read(from.grant([0]), other, [0])).toThrow(expect.objectContaining({ code: 'MISMATCH' }));
  expect(() => owner.read(from.grant([0]), from, [0, 1])).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
  expect(() => owner.read(from.grant([0]), from, [0], { signal: AbortSignal.abort() })).toThrow(expect.objectContaining({ code: 'CANCELED' }));
  expect(() => parseGrant({ agent: 'x' })).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
  const plan = [{ kind: 'reset' as FaultKind, side: 'serve' as const }];
  expect(() => agent('x', { listen: ['tcp:0.0.0.0:0'], faults: { enable: true, seed: 1, plan } })).toThrow(/loopback only/);
  owner.close();
  expect(() => owner.createPool({ blocks: 1, blockBytes })).toThrow(expect.objectContaining({ code: 'CLOSED' }));
});

test('what is under way when the agent closes is CLOSED', async () => {
  const owner = agent('prefill');
  const reader = agent('decode', { inlineBytes: 0, faults: { enable: true, seed: 1, plan: [{ kind: 'stall', side: 'read', ms: 60_000 }] } });
  const from = owner.createPool({ blocks: 8, blockBytes });
  const to = reader.createPool({ blocks: 8, blockBytes });
  const transfer = reader.read(from.grant([0, 1]), to, [0, 1]);
  while (reader.faultReports().length === 0) await sleep(2);
  reader.close();
  await expect(transfer.done).rejects.toMatchObject({ code: 'CLOSED' });
  expect(to.block(7).byteLength).toBe(blockBytes); // the memory outlives its agent
});

test('the NIXL-shaped face: register, exchange metadata, prepare, make, post, poll, notify', async () => {
  const target = new NixlAgent(agent('target'));
  const initiator = new NixlAgent(agent('initiator'));
  const remote = target.registerMem(1 << 20);
  const local = initiator.registerMem(1 << 20);
  fill(remote.buffer, 9);
  expect(initiator.loadRemoteMD(target.getLocalMD())).toBe('target');
  target.loadRemoteMD(initiator.getLocalMD());
  const slices = (devId: number) => Array.from({ length: 64 }, (_, index) => ({ addr: index * 4096, len: 4096, devId }));
  const remoteList = initiator.prepXferDlist('target', slices(remote.devId));
  const localList = initiator.prepXferDlist('', slices(local.devId));
  const request = initiator.makeXferReq('READ', localList, [3, 4, 5], remoteList, [10, 11, 40], 'read it');
  expect(initiator.getXferStatus(request)).toBe('NIXL_ERR_NOT_POSTED');
  const poll = async (until: () => boolean) => {
    for (let i = 0; i < 2000 && !until(); i++) await sleep(1);
    expect(until()).toBe(true);
  };
  for (let post = 0; post < 2; post++) {
    initiator.postXferReq(request);
    await poll(() => initiator.getXferStatus(request) === 'NIXL_SUCCESS');
  }
  expect(Buffer.compare(new Uint8Array(local.buffer, 5 * 4096, 4096), new Uint8Array(remote.buffer, 40 * 4096, 4096))).toBe(0);
  const notifications: string[] = [];
  await poll(() => notifications.push(...(target.getNotifs()['initiator'] ?? [])) > -1 && notifications.length === 2);
  expect(notifications).toEqual(['read it', 'read it']);
  const push = initiator.makeXferReq('WRITE', localList, [3], remoteList, [63]);
  initiator.postXferReq(push);
  await poll(() => initiator.getXferStatus(push) === 'NIXL_SUCCESS');
  expect(Buffer.compare(new Uint8Array(local.buffer, 3 * 4096, 4096), new Uint8Array(remote.buffer, 63 * 4096, 4096))).toBe(0);
  initiator.genNotif('target', 'alone');
  await poll(() => notifications.push(...(target.getNotifs()['initiator'] ?? [])) > -1 && notifications.includes('alone'));
  target.deregisterMem(remote);
  initiator.postXferReq(request);
  await poll(() => initiator.getXferStatus(request) === 'NIXL_ERR_EXPIRED');
});

test('the NIXL-shaped face over memory that was there before', async () => {
  const owner = agent('target');
  const target = new NixlAgent(owner);
  const initiator = new NixlAgent(agent('initiator'));
  const pool = owner.createPool({ blocks: 2, blockBytes: 4096 });
  const regions = [target.registerMem(pool), target.registerMem(new ArrayBuffer(10_000)), target.registerMem(8192)];
  expect(regions.map(({ shared }) => shared)).toEqual([true, false, true]);
  expect(regions[0]).toMatchObject({ devId: pool.id, buffer: pool.buffer });
  const local = initiator.registerMem(8192);
  initiator.loadRemoteMD(target.getLocalMD());
  const backends: string[] = [];
  for (const { devId, buffer } of regions) {
    fill(buffer, devId);
    const remote = initiator.prepXferDlist('target', [{ addr: 100, len: 5000, devId }]);
    const request = initiator.makeXferReq('READ', initiator.prepXferDlist('', [{ addr: 7, len: 5000, devId: local.devId }]), [0], remote, [0]);
    for (initiator.postXferReq(request); initiator.getXferStatus(request) === 'NIXL_IN_PROG';) await sleep(1);
    expect(initiator.getXferStatus(request)).toBe('NIXL_SUCCESS');
    expect(Buffer.compare(new Uint8Array(local.buffer, 7, 5000), new Uint8Array(buffer, 100, 5000))).toBe(0);
    backends.push(initiator.queryXferBackend(request));
  }
  expect(backends).toEqual(['shm', 'uds', 'shm']);
  target.deregisterMem(regions[0]!);
  expect(pool.grant([0]).blocks).toEqual([0]); // the pool itself lives on
});
