import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { RouterMode } from '../protocol/index.ts';
import { COST_FORMULAS, type CostFormulaName } from '../router/index.ts';
import { nativeKernels } from '../router/native/nativeKernels.ts';
import { DEFAULT_TRACE, generateTrace, parseTrace, TraceFormatError, type TraceRequest } from '../router/replay/mooncakeTrace.ts';
import { replaySvg, replayTable, summarize } from '../router/replay/replayReport.ts';
import { simulate } from '../router/replay/simulate.ts';
import { CliError } from './cliError.ts';
import type { Command } from './command.ts';

const MODES: readonly RouterMode[] = ['round-robin', 'random', 'power-of-two', 'least-loaded', 'kv'];

const usage = `npm run replay -- [trace.jsonl] [options]

Runs a trace in Mooncake's format (or a generated one) through the router and simulated workers, once per mode.

  --modes LIST                 ${MODES.join(',')}  (default round-robin,random,kv)
  --workers N                  4
  --blocks N                   KV blocks per worker, 1024
  --block-size N               tokens per KV block, 64
  --trace-block-size N         tokens per hash id of the trace, 512
  --formula NAME               linear | dynamo-0.8
  --seed N                     of ties and of the generated trace, 1
  --json FILE, --svg FILE      write the report
generated trace:
  --requests N (600)  --rate PER_SECOND (4)  --input-tokens N (4096)  --output-tokens N (64)
  --shared-prefix-ratio R (0.75)  --num-prefix-groups N (24)  --turns-per-session N (1)
`;

/** `npm run replay`: what each router mode would have made of a trace. Deterministic; needs no cluster. */
export const replay: Command = async (args) => {
  const { values, positionals } = parse(args);
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const number = (name: string, fallback: number, least = 1): number => integer(name, (values as Record<string, unknown>)[name], fallback, least);
  const seed = BigInt(number('seed', 1, 0));
  const blockTokens = number('trace-block-size', 512);
  const trace =
    positionals[0] === undefined
      ? generated(number, { seed, blockTokens, sharedPrefixRatio: share(values['shared-prefix-ratio']) })
      : await read(positionals[0], blockTokens);
  const workers = number('workers', 4);
  const shape = { blockSize: number('block-size', 64), blocks: number('blocks', 1024), maxNumSeqs: 256, maxNumBatchedTokens: 8192 };
  const formula = (values.formula ?? 'linear') as CostFormulaName;
  if (!Object.hasOwn(COST_FORMULAS, formula)) throw new CliError(`Unknown cost formula "${formula}".`, `--formula ${Object.keys(COST_FORMULAS).join(' | ')}`);
  const modes = (values.modes ?? 'round-robin,random,kv').split(',') as RouterMode[];
  const unknown = modes.find((mode) => !MODES.includes(mode));
  if (unknown !== undefined) throw new CliError(`Unknown router mode "${unknown}".`, `--modes ${MODES.join(',')}`);
  const kernels = nativeKernels();
  const summaries = modes.map((mode) => summarize(simulate({ trace, traceBlockTokens: blockTokens, workers, shape, mode, formula, seed, kernels }), workers));
  console.log(`${trace.length} requests, ${workers} workers with ${shape.blocks} blocks of ${shape.blockSize} tokens; simulated time\n`);
  console.log(replayTable(summaries));
  const refused = summaries[0]?.refused ?? 0;
  if (refused > 0) console.log(`\n${refused} requests are larger than a worker's whole cache and were left out.`);
  if (values.json !== undefined)
    await writeFile(
      values.json,
      `${JSON.stringify({ requests: trace.length, workers, ...shape, formula, seed: String(seed), modes: summaries }, undefined, 1)}\n`,
    );
  if (values.svg !== undefined) await writeFile(values.svg, replaySvg(summaries));
  return 0;
};

function parse(args: string[]) {
  const text = { type: 'string' } as const;
  const options = {
    help: { type: 'boolean' },
    modes: text,
    workers: text,
    blocks: text,
    'block-size': text,
    'trace-block-size': text,
    formula: text,
    seed: text,
    json: text,
    svg: text,
    requests: text,
    rate: text,
    'input-tokens': text,
    'output-tokens': text,
    'shared-prefix-ratio': text,
    'num-prefix-groups': text,
    'turns-per-session': text,
  } as const;
  try {
    return parseArgs({ args, allowPositionals: true, options });
  } catch (error) {
    throw new CliError(error instanceof Error ? error.message : String(error), 'npm run replay -- --help', { cause: error });
  }
}

function integer(name: string, value: unknown, fallback: number, least: number): number {
  if (value === undefined) return fallback;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < least)
    throw new CliError(`Expected --${name} to be an integer of at least ${least}, got "${String(value)}".`, 'npm run replay -- --help');
  return number;
}

function share(value: string | undefined): number {
  const number = value === undefined ? DEFAULT_TRACE.sharedPrefixRatio : Number(value);
  if (!(number >= 0 && number <= 1))
    throw new CliError(`Expected --shared-prefix-ratio to be between 0 and 1, got "${String(value)}".`, 'npm run replay -- --help');
  return number;
}

function generated(
  number: (name: string, fallback: number, least?: number) => number,
  rest: { seed: bigint; blockTokens: number; sharedPrefixRatio: number },
): TraceRequest[] {
  return generateTrace({
    requests: number('requests', DEFAULT_TRACE.requests),
    rate: number('rate', DEFAULT_TRACE.rate),
    inputTokens: number('input-tokens', DEFAULT_TRACE.inputTokens),
    outputTokens: number('output-tokens', DEFAULT_TRACE.outputTokens),
    groups: number('num-prefix-groups', DEFAULT_TRACE.groups),
    turns: number('turns-per-session', DEFAULT_TRACE.turns),
    ...rest,
  });
}

async function read(file: string, blockTokens: number): Promise<TraceRequest[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError(`Cannot read the trace ${file}.`, 'ls -l the file; or run without one to use a generated trace', { cause: error });
  }
  try {
    return parseTrace(text, { blockTokens });
  } catch (error) {
    if (!(error instanceof TraceFormatError)) throw error;
    throw new CliError(
      `${file}, ${error.message}`,
      'each line: {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [one per --trace-block-size tokens]}',
      { cause: error },
    );
  }
}
