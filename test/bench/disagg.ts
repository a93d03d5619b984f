import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { randomTokens, seededRandom } from '../support/randomPrompts.ts';
import { ready, recordOf } from '../support/requestRecords.ts';
import { servingGroup, type ServingGroup, type ServingProcess } from '../support/servingGroup.ts';
import type { Figure } from './figure.ts';
import { type LoadSeen, servingLoad, timed } from './servingLoad.ts';
import { median, minMax } from './spread.ts';

const model = 'Qwen/Qwen3-0.6B';
const rounds = 5;
const streams = 4;
const long = { prompts: 3, tokens: 2_048, pauseMs: 300 };
const shareLengths = [512, 2_048, 8_100];
const shareRounds = 3;

type Options = { signal: AbortSignal; log: (line: string) => void; outDir: string };
type Mode = 'aggregated' | 'disaggregated';

/** Aggregated against disaggregated serving with real weights, two workers of one thread each: where it wins and where it loses. */
export async function run(options: Options): Promise<Figure[]> {
  const group = await servingGroup({ DYNAMO_LABS_ENGINE_MODEL: 'smollm2-135m-instruct' });
  try {
    const frontends: Record<Mode, ServingProcess> = { aggregated: await aggregated(group), disaggregated: await disaggregated(group, 'disaggregated', {}) };
    const figures = [...(await underLongPrompts(frontends, options)), ...(await decodeOnly(frontends, options))];
    figures.push(...(await transferShare(frontends.disaggregated, 'shared memory', options)));
    const tcp = await disaggregated(group, 'tcp', { DYNAMO_LABS_TRANSFER_DIR: '' });
    figures.push(...(await transferShare(tcp, 'TCP', options)));
    await writeFile(path.join(options.outDir, 'disagg.json'), JSON.stringify(figures, undefined, 1));
    return figures;
  } finally {
    await group.close();
  }
}

async function aggregated(group: ServingGroup): Promise<ServingProcess> {
  const namespace = { DYN_NAMESPACE: 'aggregated' };
  const args = ['--model', model];
  await Promise.all([group.startWorker(args, namespace), group.startWorker(args, namespace)]);
  const frontend = await group.startFrontend(['--router-mode', 'kv'], namespace);
  await ready(frontend, { decode: 2, prefill: 0 });
  return frontend;
}

async function disaggregated(group: ServingGroup, name: string, env: Record<string, string>): Promise<ServingProcess> {
  const namespace = { DYN_NAMESPACE: name, ...env };
  const args = ['--model', model];
  await Promise.all([group.startPrefillWorker(args, namespace), group.startDecodeWorker(args, namespace)]);
  const frontend = await group.startFrontend(['--router-mode', 'kv'], namespace);
  await ready(frontend, { decode: 1, prefill: 1 });
  return frontend;
}

/** Streams run, long prompts come: head-of-line blocking is what disaggregation is for. */
async function underLongPrompts(frontends: Record<Mode, ServingProcess>, { signal, log }: Options): Promise<Figure[]> {
  const seen: Record<Mode, LoadSeen[]> = { aggregated: [], disaggregated: [] };
  for (let round = 0; round < rounds; round++) {
    for (const mode of ['aggregated', 'disaggregated'] as const) {
      // Both modes get the same prompts of a round.
      const made = await servingLoad({ frontend: frontends[mode], model, random: seededRandom(round + 1), streams, long, signal });
      seen[mode].push(made);
      log(
        `${mode} ${round + 1}/${rounds}: ITL p50 ${quantile(made.itl, 0.5).toFixed(1)} p99 ${quantile(made.itl, 0.99).toFixed(1)} ms, TTFT long ${median(made.longTtft).toFixed(0)} ms, short ${median(made.shortTtft).toFixed(0)} ms, ${made.tokensPerSecond.toFixed(0)} tokens/s`,
      );
    }
  }
  const against = (name: string, unit: string, pick: (round: LoadSeen) => number): Figure => comparison(name, unit, seen, pick);
  return [
    against(`ITL p50, ${streams} streams while prompts of ${long.tokens} tokens come`, 'ms', ({ itl }) => quantile(itl, 0.5)),
    against('ITL p99, the same', 'ms', ({ itl }) => quantile(itl, 0.99)),
    against('longest gap between two tokens, the same', 'ms', ({ itl }) => Math.max(...itl)),
    against(`TTFT of the prompts of ${long.tokens} tokens`, 'ms', ({ longTtft }) => median(longTtft)),
    against('TTFT of the short requests beside them', 'ms', ({ shortTtft }) => median(shortTtft)),
    against('tokens of all streams, the same', 'tokens/s', ({ tokensPerSecond }) => tokensPerSecond),
  ];
}

/** No long prompts: half of the workers have little to do. */
async function decodeOnly(frontends: Record<Mode, ServingProcess>, { signal, log }: Options): Promise<Figure[]> {
  const seen: Record<Mode, LoadSeen[]> = { aggregated: [], disaggregated: [] };
  for (let round = 0; round < rounds; round++) {
    for (const mode of ['aggregated', 'disaggregated'] as const) {
      seen[mode].push(await servingLoad({ frontend: frontends[mode], model, random: seededRandom(100 + round), streams, seconds: 5, signal }));
      log(`${mode} ${round + 1}/${rounds}, short requests only: ${seen[mode].at(-1)?.tokensPerSecond.toFixed(0)} tokens/s`);
    }
  }
  return [
    comparison(`tokens of ${streams} streams, short requests only`, 'tokens/s', seen, ({ tokensPerSecond }) => tokensPerSecond),
    comparison('ITL p50, short requests only', 'ms', seen, ({ itl }) => quantile(itl, 0.5)),
    comparison('TTFT, short requests only', 'ms', seen, ({ shortTtft }) => median(shortTtft)),
  ];
}

/** What moving the blocks is of the time to the first token, one request at a time. */
async function transferShare(frontend: ServingProcess, transport: string, { signal, log }: Options): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const length of shareLengths) {
    const shares: number[] = [];
    let bytes = 0;
    let ttft = 0;
    for (let round = 0; round < shareRounds; round++) {
      const { answer } = await timed({ frontend, model, prompt: randomTokens(seededRandom(1_000 * round + length), length), maxTokens: 2, signal });
      const { transfer, ttft_ms = Number.NaN, path: way } = await recordOf(frontend, answer.requestId);
      if (transfer === undefined) throw new Error(`a prompt of ${length} tokens was served ${way}`);
      shares.push(((transfer.transfer_us + transfer.wait_us) / 1_000 / ttft_ms) * 100);
      bytes = transfer.bytes;
      ttft = ttft_ms;
    }
    log(`${transport}, ${length} tokens: ${(bytes / 1e6).toFixed(1)} MB, ${median(shares).toFixed(2)} % of a TTFT of ${ttft.toFixed(0)} ms`);
    figures.push({
      name: `share of the KV transfer in TTFT, ${length} tokens, ${transport}`,
      value: median(shares),
      unit: '%',
      spread: minMax(shares),
      note: `${(bytes / 1e6).toFixed(1)} MB, TTFT ${ttft.toFixed(0)} ms`,
    });
  }
  return figures;
}

function comparison(name: string, unit: string, seen: Record<Mode, LoadSeen[]>, pick: (round: LoadSeen) => number): Figure {
  const [ours, peer] = [seen.disaggregated.map(pick), seen.aggregated.map(pick)];
  const peerValue = median(peer);
  const [least, most] = minMax(peer);
  return {
    name: `${name}, disaggregated`,
    value: median(ours),
    unit,
    spread: minMax(ours),
    peer: `aggregated (${peerValue.toPrecision(3)} ${unit} [${least.toPrecision(3)} … ${most.toPrecision(3)}])`,
    ratio: median(ours) / peerValue,
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
