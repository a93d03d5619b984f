import type { EngineOutput, OverlappedRead, PreprocessedRequest } from '../../../protocol/index.ts';
import { answerOf, decodeRequest, prefillRequest, type TestWorker } from './prefillDecodePair.ts';

/** As the frontend asks a decode worker to read ahead. */
export function fetchRequest(request: PreprocessedRequest, early: EngineOutput): PreprocessedRequest {
  const { remote_num_tokens: tokens = 0 } = early.disaggregated_params!.kv_transfer_params;
  return decodeRequest({ ...request, token_ids: request.token_ids.slice(0, tokens + 1) }, early);
}

export interface Overlapped {
  /** Of the decode worker. */
  outputs: EngineOutput[];
  /** Offers of the prefill worker, and what came of each. */
  fetches: { early: EngineOutput; output: EngineOutput | undefined }[];
}

/** Prefill here, decode there, each offer read at once; what `fetch` says no to is not read. `computed`: the prompt has been computed, its rest not read. */
export async function overlapped(
  prefill: TestWorker,
  decode: TestWorker,
  request: PreprocessedRequest,
  { fetch = () => true, computed = async () => {} }: { fetch?: (index: number) => boolean; computed?: () => Promise<unknown> } = {},
): Promise<Overlapped> {
  const fetches: Overlapped['fetches'] = [];
  let last: EngineOutput | undefined;
  let read: OverlappedRead | undefined;
  for await (const output of prefill.engine.generate(prefillRequest(request), new AbortController().signal)) {
    const params = output.disaggregated_params?.kv_transfer_params;
    if (params?.remote_prefill_in_progress !== true) {
      last = output;
      continue;
    }
    const fetched = fetch(fetches.length) ? (await answerOf(decode, fetchRequest(request, output))).at(-1) : undefined;
    fetches.push({ early: output, output: fetched });
    const { blocks = 0, status, transport = 'none' } = fetched?.kv_transfer ?? {};
    if (blocks === 0 || status !== 'ok') continue;
    const upTo = params.remote_num_tokens! / params.compatibility!.block_size;
    const first = Math.min(read?.first_block ?? upTo, upTo - blocks);
    read = { first_block: first, blocks: upTo - first, reads: (read?.reads ?? 0) + 1, transport, transfer_us: 1, settle_us: 0 };
  }
  await computed();
  const asked = decodeRequest(request, last!);
  if (read) asked.prefill_result!.overlapped = read;
  return { outputs: await answerOf(decode, asked), fetches };
}
