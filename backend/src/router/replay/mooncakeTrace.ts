import { SeededRandom } from '../seededRandom.ts';

/** One request of a trace in Mooncake's format: prompts as ids of `blockTokens`-token pieces, equal ids meaning equal text so far. */
export interface TraceRequest {
  /** Milliseconds from the start of the trace. */
  timestamp: number;
  input_length: number;
  output_length: number;
  hash_ids: number[];
}

export class TraceFormatError extends Error {
  override readonly name = 'TraceFormatError';
  readonly code = 'TRACE_FORMAT';
  constructor(line: number, problem: string) {
    super(`line ${line}: ${problem}`);
  }
}

/** Reads JSON lines, ordered by time. Throws `TraceFormatError` with the line and the field. */
export function parseTrace(text: string, { blockTokens = 512 }: { blockTokens?: number } = {}): TraceRequest[] {
  const requests = text.split('\n').flatMap((line, index) => (line.trim() === '' ? [] : [parseLine(line, index + 1, blockTokens)]));
  return requests.sort((a, b) => a.timestamp - b.timestamp);
}

function parseLine(line: string, number: number, blockTokens: number): TraceRequest {
  let value: Partial<TraceRequest>;
  try {
    value = JSON.parse(line) as Partial<TraceRequest>;
  } catch {
    throw new TraceFormatError(number, 'no JSON object');
  }
  const { timestamp, input_length, output_length, hash_ids } = value;
  if (typeof timestamp !== 'number' || !Number.isFinite(timestamp) || timestamp < 0)
    throw new TraceFormatError(number, '`timestamp` is no number of milliseconds');
  if (!isCount(input_length) || input_length < 1) throw new TraceFormatError(number, '`input_length` is no positive integer');
  if (!isCount(output_length)) throw new TraceFormatError(number, '`output_length` is no integer');
  if (!Array.isArray(hash_ids) || !hash_ids.every(isCount)) throw new TraceFormatError(number, '`hash_ids` is no list of integers');
  if (hash_ids.length !== Math.ceil(input_length / blockTokens)) {
    throw new TraceFormatError(
      number,
      `\`hash_ids\` has ${hash_ids.length} entries, ${input_length} tokens in blocks of ${blockTokens} need ${Math.ceil(input_length / blockTokens)}`,
    );
  }
  return { timestamp, input_length, output_length: Math.max(1, output_length), hash_ids };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The tokens that a request stands for: every id is text of its own. Written to the beginning of `target` where it is long enough. */
export function traceTokens({ hash_ids, input_length }: TraceRequest, blockTokens: number, target?: Uint32Array): Uint32Array {
  const tokens = target && target.length >= input_length ? target.subarray(0, input_length) : new Uint32Array(input_length);
  for (let block = 0, at = 0; at < input_length; block++) {
    const end = Math.min(at + blockTokens, input_length);
    for (let token = hash_ids[block]! * blockTokens; at < end; at++, token++) tokens[at] = token;
  }
  return tokens;
}

export interface TraceShape {
  requests: number;
  /** Requests per second; arrivals are random with this mean rate. */
  rate: number;
  inputTokens: number;
  outputTokens: number;
  /** Share of each prompt that is its group's common beginning. */
  sharedPrefixRatio: number;
  groups: number;
  /** Requests of one conversation, each continuing the last one's prompt by one block. */
  turns: number;
  seed: bigint;
  blockTokens?: number;
}

export const DEFAULT_TRACE: TraceShape = {
  requests: 600,
  rate: 4,
  inputTokens: 4096,
  outputTokens: 64,
  sharedPrefixRatio: 0.75,
  groups: 24,
  turns: 1,
  seed: 1n,
};

/** A trace with groups of common beginnings: the same seed gives the same trace. */
export function generateTrace({
  requests,
  rate,
  inputTokens,
  outputTokens,
  sharedPrefixRatio,
  groups,
  turns,
  seed,
  blockTokens = 512,
}: TraceShape): TraceRequest[] {
  const random = new SeededRandom(seed);
  const blocks = Math.max(1, Math.ceil(inputTokens / blockTokens));
  const shared = Math.min(blocks, Math.floor(blocks * sharedPrefixRatio));
  let nextId = groups * shared;
  let timestamp = 0;
  const conversations: { hash_ids: number[]; left: number }[] = [];
  return Array.from({ length: requests }, () => {
    timestamp += (-Math.log(1 - random.float()) * 1000) / rate;
    const open = conversations.filter(({ left }) => left > 0);
    let conversation = open.length > 0 && random.float() < 1 - 1 / turns ? open[random.below(open.length)]! : undefined;
    if (conversation) conversation.hash_ids = [...conversation.hash_ids, nextId++];
    else {
      const group = random.below(groups);
      const hash_ids = Array.from({ length: blocks }, (_, i) => (i < shared ? group * shared + i : nextId++));
      conversations.push((conversation = { hash_ids, left: turns }));
    }
    conversation.left--;
    const { hash_ids } = conversation;
    return { timestamp: Math.round(timestamp), input_length: hash_ids.length * blockTokens, output_length: outputTokens, hash_ids };
  });
}
