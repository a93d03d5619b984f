import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Fault, FaultKind } from '../backend/src/transfer/index.ts';
import { agentOptions, blockBytes, eventually, fillSeeded, ownerOptions, Peer, range, sameAsSeed, TransferAgent, transports } from './50.transfer-fixture.ts';
import { baseline, expectAsBefore } from './50.transfer-footprint.ts';

const blocks = 256; // 4 MiB
const deadlineMs = 4000;
/** Kills per transport; the long run sets 250 (1,000 in all). */
const kills = Number(process.env['DYNAMO_LABS_TRANSFER_KILLS'] ?? 6);
const all = range(blocks);

/** The code it settled with. Fails if it does not settle by its deadline plus one second. */
async function outcome(done: Promise<unknown>, withinMs = deadlineMs): Promise<string> {
  const timer = new AbortController();
  const late = sleep(withinMs + 1000, 'LATE', { signal: timer.signal }).catch(() => 'LATE');
  const code = await Promise.race([
    done.then(
      () => 'SUCCESS',
      (error) => error.code as string,
    ),
    late,
  ]);
  timer.abort();
  expect(code).not.toBe('LATE');
  return code;
}

describe('random fault schedules', () => {
  const kinds: FaultKind[] = [
    'reset',
    'half_close',
    'truncate',
    'stall',
    'delay',
    'flip',
    'duplicate',
    'reorder',
    'drop_notification',
    'refuse',
    'expire',
    'wrong_epoch',
  ];
  const fault: fc.Arbitrary<Fault> = fc.record({
    kind: fc.constantFrom(...kinds),
    side: fc.constantFrom('read' as const, 'serve' as const),
    afterBytes: fc.integer({ min: 0, max: blocks * blockBytes }),
    times: fc.integer({ min: 1, max: 3 }),
    ms: fc.integer({ min: 1, max: 30 }),
  });
  const schedule = fc.record({
    plan: fc.array(fault, { maxLength: 6 }),
    seed: fc.nat(),
    over: fc.constantFrom(...transports),
    chunkBytes: fc.constantFrom(4096, 65_536, 262_144),
  });
  const allowed = new Set(['SUCCESS', 'REMOTE_DISCONNECT', 'EXPIRED', 'CHECKSUM', 'DEADLINE', 'EPOCH_MISMATCH', 'ADMISSION']);

  test('every byte is right or the transfer says that it failed', { timeout: 300_000 }, async () => {
    let faultsSeen = 0;
    const before = await baseline();
    await fc.assert(
      fc.asyncProperty(schedule, async ({ plan, seed, over, chunkBytes }) => {
        using owner = new TransferAgent(
          ownerOptions('owner', over.prefix, { chunkBytes, faults: { enable: true, seed, plan: plan.filter(({ side }) => side === 'serve') } }),
        );
        using reader = new TransferAgent(
          agentOptions('reader', { chunkBytes, faults: { enable: true, seed, plan: plan.filter(({ side }) => side === 'read') } }),
        );
        const from = owner.createPool({ blocks, blockBytes });
        const to = reader.createPool({ blocks, blockBytes });
        fillSeeded(from.buffer, seed);
        const grant = from.grant(all, { readers: 0 });
        grant.addresses = grant.addresses.filter((address) => address.startsWith(over.prefix));
        const code = await outcome(reader.read(grant, to, all, { transports: [over.transport], deadlineMs }).done);
        expect(allowed).toContain(code);
        if (code === 'SUCCESS') expect(sameAsSeed(to, seed)).toBe(true);
        faultsSeen += owner.faultReports().length + reader.faultReports().length;
        from.drop();
        to.drop();
      }),
      { numRuns: 60 }, // fast-check prints the seed and the smallest failing schedule
    );
    expect(faultsSeen).toBeGreaterThan(20);
    await expectAsBefore(before);
  });
});

describe.each(transports)('SIGKILL over $transport ($prefix)', ({ transport, prefix }) => {
  /** A function of its own: nothing of a round is alive after it. */
  async function killOwner(): Promise<void> {
    const seed = Math.floor(Math.random() * 2 ** 31);
    await using owner = await Peer.start(ownerOptions('owner', prefix), blocks, seed);
    const plan: Fault[] = [{ kind: 'kill', side: 'read', withinBytes: blocks * blockBytes, pid: owner.pid }];
    using reader = new TransferAgent(agentOptions('reader', { listen: [], faults: { enable: true, seed, plan } }));
    const to = reader.createPool({ blocks, blockBytes });
    const grant = await owner.ask<Parameters<typeof reader.read>[0]>({ do: 'grant' });
    grant.addresses = grant.addresses.filter((address) => address.startsWith(prefix));
    const code = await outcome(reader.read(grant, to, all, { transports: [transport], deadlineMs, release: false }).done);
    expect(['SUCCESS', 'REMOTE_DISCONNECT'], `seed ${seed}`).toContain(code);
    if (code === 'SUCCESS') expect(sameAsSeed(to, seed), `seed ${seed}`).toBe(true);
    expect(reader.faultReports(), `seed ${seed}`).toMatchObject([{ kind: 'kill' }]);
  }

  test('of the owner at a random byte', { timeout: 60_000 + kills * 2000 }, async () => {
    const before = await baseline();
    for (let round = 0; round < kills; round++) await killOwner();
    await expectAsBefore(before);
  });

  test('of a reader at a random byte: its lease runs out, the owner and other readers go on', { timeout: 60_000 + kills * 4000 }, async () => {
    const seed = 7;
    using owner = new TransferAgent(ownerOptions('owner', prefix));
    const from = owner.createPool({ blocks, blockBytes });
    fillSeeded(from.buffer, seed);
    const ends = new Map<string, string>();
    owner.onGrantEnded((event) => ends.set(event.requestId, event.end));
    using other = new TransferAgent(agentOptions('other', { listen: [] }));
    const to = other.createPool({ blocks, blockBytes });
    const narrowed = (requestId: string, leaseMs: number) => {
      const grant = from.grant(all, { leaseMs, requestId });
      return { ...grant, addresses: grant.addresses.filter((address) => address.startsWith(prefix)) };
    };
    await other.read(narrowed('warm', 5000), to, all, { transports: [transport] }).done;
    const before = await baseline();
    for (let round = 0; round < kills; round++) {
      const faults = { enable: true as const, seed: round + 1, plan: [{ kind: 'kill' as const, side: 'read' as const, withinBytes: blocks * blockBytes }] };
      await using reader = await Peer.start(agentOptions('reader', { faults }), blocks, seed);
      const grant = narrowed(`killed-${round}`, 1000);
      await expect(reader.ask({ do: 'read', grant, transports: [transport], deadlineMs, times: 1 })).rejects.toThrow(/gone/);
      await other.read(narrowed(`other-${round}`, 5000), to, all, { transports: [transport] }).done;
      expect(sameAsSeed(to, seed)).toBe(true);
      await eventually(() => ends.has(`killed-${round}`) && ends.has(`other-${round}`), 'the grants end');
      expect(ends.get(`killed-${round}`)).toMatch(/^expired/);
      expect(ends.get(`other-${round}`)).toBe('released');
    }
    await expectAsBefore(before);
  });
});

describe.each(transports)('a block that is written again, over $transport ($prefix)', ({ transport, prefix }) => {
  test('a late reader gets EXPIRED or the old bytes, never the new ones', { timeout: 60_000 }, async () => {
    using owner = new TransferAgent(ownerOptions('owner', prefix));
    using reader = new TransferAgent(agentOptions('reader', { listen: [], chunkBytes: 65_536 }));
    const many = 2048; // 32 MiB: long enough to be interrupted
    const every = range(many);
    const from = owner.createPool({ blocks: many, blockBytes });
    const to = reader.createPool({ blocks: many, blockBytes });
    const codes: Record<string, number> = {};
    for (let round = 0; round < 40; round++) {
      fillSeeded(from.buffer, round);
      const grant = from.grant(every, { readers: 0 });
      grant.addresses = grant.addresses.filter((address) => address.startsWith(prefix));
      const transfer = reader.read(grant, to, every, { transports: [transport], release: false, deadlineMs: 30_000 });
      const reuse = Math.random() * many * blockBytes;
      for (let at = transfer.progress(); at.phase !== 'done' && at.bytesDone < reuse; at = transfer.progress());
      if (round % 2 === 0) owner.revoke(grant);
      else from.withdraw(0, many);
      new Uint8Array(from.buffer).fill(0xdd); // at once: whoever reads now must notice
      const code = await outcome(transfer.done, 30_000);
      codes[code] = (codes[code] ?? 0) + 1;
      if (code === 'SUCCESS') expect(sameAsSeed(to, round), `round ${round}`).toBe(true);
      else expect(code).toBe('EXPIRED');
      owner.revoke(grant);
    }
    expect(codes['EXPIRED'] ?? 0).toBeGreaterThan(0);
  });
});
