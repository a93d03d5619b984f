import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Crowd } from './50.transfer-crowd.ts';
import { agentOptions, blockBytes, eventually, fillSeeded, range, sameAsSeed, TransferAgent, transports } from './50.transfer-fixture.ts';
import { footprint } from './50.transfer-footprint.ts';

const blocks = 128; // 2 MiB
const all = range(blocks);

describe.each(transports)('sixteen processes over $transport ($prefix)', ({ transport, prefix }) => {
  test('a slow reader, a stopped one, a killed one and a killed owner do not hold up the others', { timeout: 120_000 }, async () => {
    const healthy = 11;
    await using crowd = await Crowd.start({ transport, prefix, healthy, blocks, seed: 3 });
    await crowd.trouble();
    const others = await crowd.read(5, 4);
    expect(others.map(({ codes }) => codes)).toEqual(range(healthy).map(() => range(5).map(() => 'IDENTICAL')));
    expect(await crowd.readFromTheDoomed()).toEqual(range(healthy).map(() => 'REMOTE_DISCONNECT'));
    expect((await crowd.read(1, 4)).map(({ codes }) => codes)).toEqual(range(healthy).map(() => ['IDENTICAL']));
  });
});

describe('an adversary', () => {
  async function victim() {
    const owner = new TransferAgent(agentOptions('owner', { handshakeMs: 300, maxConnections: 16 }));
    const refused: { code: string; message: string }[] = [];
    owner.onRefused(({ code, message }) => refused.push({ code, message }));
    const from = owner.createPool({ blocks, blockBytes });
    fillSeeded(from.buffer, 5);
    const address = owner.addresses.find((one) => one.startsWith('tcp:127')) as string;
    const dial = async () => {
      const socket = connect(Number(address.split(':').at(-1)), '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      return socket;
    };
    const good = async () => {
      using reader = new TransferAgent(agentOptions('reader', { listen: [] }));
      const to = reader.createPool({ blocks, blockBytes });
      const grant = from.grant(all);
      await reader.read({ ...grant, addresses: [address] }, to, all, { transports: ['tcp'] }).done;
      expect(sameAsSeed(to, 5)).toBe(true);
    };
    return { owner, refused, dial, good, address, from };
  }
  // Not `once`, which would reject on ECONNRESET: how it ends is theirs.
  const closed = (socket: Socket) => new Promise<void>((resolve) => (socket.destroyed ? resolve() : socket.once('close', () => resolve())));

  test('garbage, a huge length, speaking first, silence: refused with a reason, others go on', async () => {
    const { owner, refused, dial, good } = await victim();
    const before = footprint();
    const garbage = await dial();
    garbage.write(Buffer.alloc(4096, 0x41));
    garbage.resume();
    await closed(garbage);
    await expect.poll(() => refused.at(-1)).toEqual({ code: 'PROTOCOL', message: 'not a frame of this protocol' });

    const huge = await dial();
    const [challenge] = (await once(huge, 'data')) as [Buffer];
    const header = Buffer.from(challenge.subarray(0, 48));
    header.writeUInt32LE(0xffff_ffff, 32); // the length; the check no longer fits
    huge.write(header);
    huge.resume();
    await closed(huge);
    await expect.poll(() => refused.at(-1)).toEqual({ code: 'PROTOCOL', message: 'header checksum' });

    const early = await dial();
    const [own] = (await once(early, 'data')) as [Buffer];
    early.write(own); // a well-formed frame, but not a Hello
    early.resume();
    await closed(early);
    await expect.poll(() => refused.at(-1)).toMatchObject({ code: 'UNAUTHORIZED' });

    const silent = await Promise.all(range(20).map(() => dial())); // more than there are connections
    silent.forEach((socket) => socket.resume());
    await good();
    const drip = await dial();
    drip.resume();
    for (let i = 0; i < 10 && !drip.destroyed; i++, await sleep(60)) drip.write(Buffer.from('D'));
    await Promise.all(silent.map(closed));
    await closed(drip);
    await expect.poll(() => refused.some(({ code }) => code === 'DEADLINE') && refused.some(({ code }) => code === 'ADMISSION')).toBe(true);
    await good();
    await eventually(() => footprint().fds <= before.fds + 4, 'their connections are gone');
    owner.close();
  });

  test('a recorded handshake is worth nothing on another connection', async () => {
    const { owner, refused, dial, good, address, from } = await victim();
    const recorded: Buffer[] = [];
    const spy = createServer((reader) => {
      const upstream = connect(Number(address.split(':').at(-1)), '127.0.0.1');
      upstream.on('error', () => {});
      reader.on('error', () => {});
      reader.on('data', (bytes: Buffer) => recorded.push(bytes)).pipe(upstream);
      upstream.pipe(reader);
    }).listen(0, '127.0.0.1');
    await once(spy, 'listening');
    const through = `tcp:127.0.0.1:${(spy.address() as { port: number }).port}`;
    const reader = new TransferAgent(agentOptions('reader', { listen: [] }));
    const to = reader.createPool({ blocks, blockBytes });
    await reader.read({ ...from.grant(all), addresses: [through] }, to, all, { transports: ['tcp'] }).done;
    reader.close();
    spy.close();
    const replay = await dial();
    replay.write(recorded[0] as Buffer);
    replay.resume();
    await closed(replay);
    await expect.poll(() => refused.at(-1)).toEqual({ code: 'UNAUTHORIZED', message: 'the token is not ours' });
    await good();
    owner.close();
  });
});
