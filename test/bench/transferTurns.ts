import { nativeAddon } from '@dynamo-labs/native';
import { type Grant, type TransferAgent, type TransferPool, type TransferReport, type TransportName } from '../../backend/src/transfer/index.ts';
import { fillSeeded } from '../50.transfer-fixture.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';

export const piece = 16_384;
export const poolBlocks = 8192; // 128 MiB
export const moved = 64 * 1024 * 1024;
export const repetitions = 15;
const inARow = 8;
export const contiguous = new Float64Array([0, 0, moved]);
/** 16 KiB pieces from random places to random places. */
export const scattered = scatteredPieces(moved / piece);

export type BenchOptions = { signal: AbortSignal; log: (line: string) => void; outDir: string };

/** Our reads of 64 MiB from another process, in turn with something else in this one. */
export class TransferTurns {
  readonly #reader: TransferAgent;
  readonly #grant: Grant;
  readonly #pool: TransferPool;
  readonly #options: BenchOptions;
  readonly #source: ArrayBuffer;

  constructor(reader: TransferAgent, grant: Grant, options: BenchOptions) {
    this.#reader = reader;
    this.#grant = grant;
    this.#pool = reader.createPool({ blocks: poolBlocks, blockBytes: piece });
    this.#options = options;
    this.#source = reader.createPool({ blocks: poolBlocks, blockBytes: piece }).buffer; // also shared pages: memcpy sees the same kind of memory
    fillSeeded(this.#source, 2);
  }

  async read(pieces: Float64Array, transport: TransportName, verify: boolean): Promise<TransferReport> {
    const report = await readPieces(this.#reader, this.#grant, this.#pool, { pieces, transport, verify, signal: this.#options.signal });
    if (report.transport !== transport) throw new Error(`measured ${report.transport} instead of ${transport}`);
    return report;
  }

  /**
   * GB/s of ours and of the other, turn by turn; who goes first changes. A turn is one move of 64 MiB that does not count, after which caches and connections
   * are as they are at work, and several in a row. `other` returns the seconds that one took.
   */
  async inTurn(name: string, ours: () => Promise<void>, other: () => number | Promise<number>): Promise<{ own: number[]; ratios: number[] }> {
    const timed = async (): Promise<number> => {
      const start = process.hrtime.bigint();
      await ours();
      return Number(process.hrtime.bigint() - start) / 1e9;
    };
    const turn = async (move: () => number | Promise<number>, into: number[]): Promise<void> => {
      await move();
      let seconds = 0;
      for (let i = 0; i < inARow; i++) seconds += await move();
      into.push((inARow * moved) / 1e9 / seconds);
    };
    const own: number[] = [];
    const others: number[] = [];
    const us = () => turn(timed, own);
    const them = () => turn(other, others);
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const one of repetition % 2 === 0 ? [us, them] : [them, us]) await one();
    }
    this.#options.log(`${name}: ${median(own).toFixed(2)} GB/s, peer ${median(others).toFixed(2)}`);
    return { own, ratios: own.map((value, index) => value / (others[index] as number)) };
  }

  async againstMemcpy(name: string, pieces: Float64Array, verify: boolean, goal?: number): Promise<Figure> {
    const measured = await this.inTurn(
      name,
      async () => void (await this.read(pieces, 'shm', verify)),
      () => this.#memcpy(pieces),
    );
    return ratioFigure(name, 'memcpy of the same pieces', measured, goal);
  }

  async againstSocket(name: string, transport: 'tcp' | 'uds', pieces: Float64Array, goal?: number): Promise<Figure> {
    const whole = this.#pool.buffer; // 128 MiB; twice what a read moves, so halve the time
    const loop = () => nativeAddon().ceilingSocket(whole, this.#source, transport === 'tcp') / (whole.byteLength / moved);
    const ours = async () => void (await this.read(pieces, transport, true));
    return ratioFigure(name, 'raw socket loop', await this.inTurn(name, ours, loop), goal);
  }

  async smallRead(): Promise<Figure> {
    const pieces = new Float64Array([4096, 8192, 4096]);
    const times: number[] = [];
    for (let i = 0; i < 5000; i++) {
      const start = process.hrtime.bigint();
      await this.read(pieces, 'shm', true);
      times.push(Number(process.hrtime.bigint() - start) / 1000);
    }
    const spread = times.slice(500);
    const p50 = median(spread);
    const name = 'one 4 KiB block over shared memory through the TypeScript API, p50';
    return { name, value: p50, unit: 'µs', goal: '≤ 60 µs', ok: p50 <= 60, spread: minMax(spread) };
  }

  /** This process's CPU time, both in user and kernel mode, over several reads in a row and as many copies. */
  async cpuPerGigabyte(): Promise<Figure> {
    const own: number[] = [];
    const ratios: number[] = [];
    for (let round = 0; round < 9; round++) {
      const ours = await cpuSeconds(async () => {
        for (let i = 0; i < 4; i++) await this.read(scattered, 'shm', true);
      });
      const copied = await cpuSeconds(async () => {
        for (let i = 0; i < 4; i++) this.#memcpy(scattered);
      });
      own.push((ours / ((4 * moved) / 1e9)) * 1000);
      ratios.push(ours / copied);
    }
    const ratio = median(ratios);
    const name = 'CPU per GB, shared memory, verified, 16 KiB pieces';
    return { name, value: median(own), unit: 'ms/GB', peer: 'memcpy of the same pieces', ratio, spread: minMax(own), goal: '≤ 1.3 × memcpy', ok: ratio <= 1.3 };
  }

  #memcpy(pieces: Float64Array): number {
    return nativeAddon().ceilingCopy(this.#pool.buffer, this.#source, { pieces });
  }
}

/** A read of any pieces over one transport, which keeps the grant. */
export function readPieces(
  agent: TransferAgent,
  grant: Grant,
  pool: TransferPool,
  options: { pieces: Float64Array; transport: TransportName; verify: boolean; signal: AbortSignal },
): Promise<TransferReport> {
  const { pieces, transport, verify, signal } = options;
  const peer = { peer: grant.agent, epoch: BigInt(grant.epoch), addresses: grant.addresses, grant: grant.ref };
  const more = { localPool: pool.id, pieces, transports: [transport], deadlineMs: 120_000, verify, notification: '', release: false, blockBytes: 0 };
  return agent.start(() => agent.native.read({ ...peer, ...more }), signal).done;
}

export function ratioFigure(name: string, peer: string, measured: { own: number[]; ratios: number[] }, goal?: number): Figure {
  const ratio = median(measured.ratios);
  const figure = { name, value: median(measured.own), unit: 'GB/s', peer, ratio, spread: minMax(measured.own) };
  return goal === undefined ? figure : { ...figure, goal: `≥ ${goal} × ${peer}`, ok: ratio >= goal };
}

async function cpuSeconds(body: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await body();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function scatteredPieces(count: number): Float64Array {
  const pieces = new Float64Array(count * 3);
  for (let index = 0; index < count; index++) pieces.set([((index * 5011) % poolBlocks) * piece, ((index * 3571 + 17) % poolBlocks) * piece, piece], index * 3);
  return pieces;
}
