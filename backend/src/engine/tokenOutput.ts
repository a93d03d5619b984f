import type { NativeStepResult } from '@dynamo-labs/native';
import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';

/** A drawn token as the request wants to see it. */
export function tokenOutput(request: PreprocessedRequest, token: number, { logprob, top }: NativeStepResult): EngineOutput {
  if (request.output_options.logprobs === undefined) return { token_ids: [token] };
  return { token_ids: [token], log_probs: [logprob!], top_logprobs: [top!.map((one) => ({ token_id: one.token, logprob: one.logprob }))] };
}
