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
const shareRounds = 5;

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
    figures.push(...(await transferShare({ 'shared memory': frontends.disaggregated }, options)));
    const tcp = { DYNAMO_LABS_TRANSFER_DIR: '' };
    const over = (overlap: string): Promise<ServingProcess> => disaggregated(group, `tcp-${overlap}`, tcp, overlapConfig(overlap));
    figures.push(...(await transferShare({ TCP: await over('never'), 'TCP, read while the prompt is computed': await over('always') }, options)));
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

const overlapConfig = (overlap: string): string[] => [
  '--kv-transfer-config',
  JSON.stringify({ kv_connector: 'NixlConnector', kv_role: 'kv_both', kv_connector_extra_config: { overlap } }),
];

async function disaggregated(group: ServingGroup, name: string, env: Record<string, string>, prefillArgs: string[] = []): Promise<ServingProcess> {
  const namespace = { DYN_NAMESPACE: name, ...env };
  const args = ['--model', model];
  await Promise.all([group.startPrefillWorker([...args, ...prefillArgs], namespace), group.startDecodeWorker(args, namespace)]);
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

/** What moving the blocks adds to the time to the first token, one request at a time, the ways in turn. */
async function transferShare(ways: Record<string, ServingProcess>, { signal, log }: Options): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const length of shareLengths) {
    const seen = Object.fromEntries(Object.keys(ways).map((way) => [way, [] as ShareSeen[]]));
    for (let round = 0; round < shareRounds; round++) {
      for (const [way, frontend] of Object.entries(ways)) {
        const { answer } = await timed({ frontend, model, prompt: randomTokens(unseen(), length), maxTokens: 2, signal });
        const { transfer, ttft_ms: ttft = Number.NaN, path: served } = await recordOf(frontend, answer.requestId);
        if (transfer === undefined) throw new Error(`a prompt of ${length} tokens was served ${served}`);
        const { overlapped } = transfer;
        const ms = (transfer.transfer_us + transfer.wait_us + (overlapped?.settle_us ?? 0)) / 1_000;
        seen[way]?.push({ ms, ttft, megabytes: transfer.bytes / 1e6, ahead: ((overlapped?.bytes ?? 0) / transfer.bytes) * 100 });
      }
    }
    for (const [way, rounds] of Object.entries(seen)) {
      const shares = rounds.map(({ ms, ttft }) => (ms / ttft) * 100);
      const of = (pick: (one: ShareSeen) => number): number => median(rounds.map(pick));
      const note = `${of(({ megabytes }) => megabytes).toFixed(1)} MB, ${of(({ ahead }) => ahead).toFixed(0)} % of it while the prompt was computed; ${of(({ ms }) => ms).toFixed(1)} ms of a TTFT of ${of(({ ttft }) => ttft).toFixed(0)} ms`;
      log(`${way}, ${length} tokens: ${median(shares).toFixed(2)} % (${note})`);
      figures.push({ name: `share of the KV transfer in TTFT, ${length} tokens, ${way}`, value: median(shares), unit: '%', spread: minMax(shares), note });
    }
  }
  return figures;
}

interface ShareSeen {
  /** For which the first token waited for blocks. */
  ms: number;
  ttft: number;
  megabytes: number;
  /** Percent of the bytes. */
  ahead: number;
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
