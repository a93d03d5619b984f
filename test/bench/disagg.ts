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
const modes = ['aggregated', 'disaggregated', 'conditional'] as const;
type Mode = (typeof modes)[number];
/** Short prompts are computed where their answers are made. */
const conditional = '{"policy":"isl_bounding","max_local_prefill_length":256,"max_local_prefill_ratio":1}';

let seed = 0;
/** Prompts of one length, but of other tokens each time: no worker has them cached. */
const unseen = (): (() => number) => seededRandom(++seed);

/** Aggregated against disaggregated serving with real weights, two workers of one thread each: where it wins and where it loses. */
export async function run(options: Options): Promise<Figure[]> {
  const group = await servingGroup({ DYNAMO_LABS_ENGINE_MODEL: 'smollm2-135m-instruct' });
  try {
    const disagg = await disaggregated(group, 'disaggregated', {});
    // A second frontend over the same workers.
    const keeping = await group.startFrontend(['--router-mode', 'kv', '--router-conditional-disagg-config', conditional], { DYN_NAMESPACE: 'disaggregated' });
    await ready(keeping, { decode: 1, prefill: 1 });
    const frontends: Record<Mode, ServingProcess> = { aggregated: await aggregated(group), disaggregated: disagg, conditional: keeping };
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
  const seen: Record<Mode, LoadSeen[]> = { aggregated: [], disaggregated: [], conditional: [] };
  for (let round = 0; round < rounds; round++) {
    for (const mode of modes) {
      const made = await servingLoad({ frontend: frontends[mode], model, random: unseen(), streams, long, signal });
      seen[mode].push(made);
      log(
        `${mode} ${round + 1}/${rounds}: ITL p50 ${quantile(made.itl, 0.5).toFixed(1)} p99 ${quantile(made.itl, 0.99).toFixed(1)} ms, TTFT long ${median(made.longTtft).toFixed(0)} ms, short ${median(made.shortTtft).toFixed(0)} ms, ${made.tokensPerSecond.toFixed(0)} tokens/s`,
      );
    }
  }
  const against = (name: string, unit: string, pick: (round: LoadSeen) => number): Figure[] => comparison(name, unit, seen, pick);
  return [
    against(`ITL p50, ${streams} streams while prompts of ${long.tokens} tokens come`, 'ms', ({ itl }) => quantile(itl, 0.5)),
    against('ITL p99, the same', 'ms', ({ itl }) => quantile(itl, 0.99)),
    against('longest gap between two tokens, the same', 'ms', ({ itl }) => Math.max(...itl)),
    against(`TTFT of the prompts of ${long.tokens} tokens`, 'ms', ({ longTtft }) => median(longTtft)),
    against('TTFT of the short requests beside them', 'ms', ({ shortTtft }) => median(shortTtft)),
    against('tokens of all streams, the same', 'tokens/s', ({ tokensPerSecond }) => tokensPerSecond),
  ].flat();
}

/** No long prompts: half of the workers have little to do. */
async function decodeOnly(frontends: Record<Mode, ServingProcess>, { signal, log }: Options): Promise<Figure[]> {
  const seen: Record<Mode, LoadSeen[]> = { aggregated: [], disaggregated: [], conditional: [] };
  for (let round = 0; round < rounds; round++) {
    for (const mode of modes) {
      seen[mode].push(await servingLoad({ frontend: frontends[mode], model, random: unseen(), streams, seconds: 5, signal }));
      log(`${mode} ${round + 1}/${rounds}, short requests only: ${seen[mode].at(-1)?.tokensPerSecond.toFixed(0)} tokens/s`);
    }
  }
  return [
    comparison(`tokens of ${streams} streams, short requests only`, 'tokens/s', seen, ({ tokensPerSecond }) => tokensPerSecond),
    comparison('ITL p50, short requests only', 'ms', seen, ({ itl }) => quantile(itl, 0.5)),
    comparison('TTFT, short requests only', 'ms', seen, ({ shortTtft }) => median(shortTtft)),
  ].flat();
}

/** What moving the blocks is of the time to the first token, one request at a time. */
async function transferShare(frontend: ServingProcess, transport: string, { signal, log }: Options): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const length of shareLengths) {
    const shares: number[] = [];
    let bytes = 0;
    let ttft = 0;
    for (let round = 0; round < shareRounds; round++) {
      const { answer } = await timed({ frontend, model, prompt: randomTokens(unseen(), length), maxTokens: 2, signal });
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

function comparison(name: string, unit: string, seen: Record<Mode, LoadSeen[]>, pick: (round: LoadSeen) => number): Figure[] {
  const peer = seen.aggregated.map(pick);
  const [least, most] = minMax(peer);
  const spelled = `aggregated (${median(peer).toPrecision(3)} ${unit} [${least.toPrecision(3)} … ${most.toPrecision(3)}])`;
  return (['disaggregated', 'conditional'] as const).map((mode) => {
    const ours = seen[mode].map(pick);
    const words = mode === 'conditional' ? 'disaggregated, short prompts local' : mode;
    return { name: `${name}, ${words}`, value: median(ours), unit, spread: minMax(ours), peer: spelled, ratio: median(ours) / median(peer) };
  });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
