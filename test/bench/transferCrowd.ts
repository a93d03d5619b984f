import { Crowd } from '../50.transfer-crowd.ts';
import { blockBytes, range, transports } from '../50.transfer-fixture.ts';
import type { Figure } from './figure.ts';
import { median, minMax } from './spread.ts';
import type { BenchOptions } from './transferTurns.ts';

const healthy = 11; // with two owners, a slow, a stopped and a killed reader: sixteen
const blocks = 256; // 4 MiB
const rounds = 7;
const times = 10;

/** What eleven readers get together, four transfers at once each, while three others of the same owner are in trouble, against what they get without. */
export async function crowdFigures(options: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { transport, prefix } of transports.filter((one) => one.prefix !== 'tcp:[' && one.transport !== 'ucx')) {
    const crowds: Crowd[] = [];
    try {
      for (let i = 0; i < 2; i++) crowds.push(await Crowd.start({ transport, prefix, healthy, blocks, seed: 1 }));
      figures.push(await compare(transport, crowds[0] as Crowd, crowds[1] as Crowd, options));
    } finally {
      await Promise.all(crowds.map((crowd) => crowd[Symbol.asyncDispose]()));
    }
  }
  return figures;
}

async function compare(transport: string, calm: Crowd, troubled: Crowd, options: BenchOptions): Promise<Figure> {
  const speeds: number[] = [];
  const ratios: number[] = [];
  await troubled.trouble();
  await together(calm);
  await together(troubled);
  for (const round of range(rounds)) {
    const speed = new Map<Crowd, number>();
    for (const crowd of round % 2 === 0 ? [calm, troubled] : [troubled, calm]) speed.set(crowd, await together(crowd));
    speeds.push(speed.get(troubled) as number);
    ratios.push((speed.get(troubled) as number) / (speed.get(calm) as number));
  }
  const name = `16 processes over ${transport}: 11 readers while one is slow, one stopped, one killed`;
  const ratio = median(ratios);
  options.log(`${name}: ${median(speeds).toFixed(2)} GB/s together`);
  const peer = 'the same without trouble';
  return { name, value: median(speeds), unit: 'GB/s', peer, ratio, spread: minMax(speeds), goal: '≥ 0.9 × without', ok: ratio >= 0.9 };
}

/** GB/s of all healthy readers together. */
async function together(crowd: Crowd): Promise<number> {
  const answers = await crowd.read(times, 4, true);
  const bad = answers.flatMap(({ codes }) => codes).find((code) => code !== 'IDENTICAL');
  if (bad) throw new Error(`a healthy reader got ${bad}`);
  return answers.reduce((sum, { seconds }) => sum + (times * blocks * blockBytes) / 1e9 / seconds, 0);
}
