import type { TokenLogprob } from './textGeneration.ts';

const bytes = (token: string): number[] => [...new TextEncoder().encode(token)];

/** `choices[].logprobs` of a chat completion. */
export function chatLogprobs(tokens: readonly TokenLogprob[]): Record<string, unknown> {
  return {
    content: tokens.map(({ token, logprob, top }) => ({
      token,
      logprob,
      bytes: bytes(token),
      top_logprobs: top.map((one) => ({ ...one, bytes: bytes(one.token) })),
    })),
    refusal: null,
  };
}

/** `choices[].logprobs` of a completion. */
export function completionLogprobs(tokens: readonly TokenLogprob[]): Record<string, unknown> {
  let offset = 0;
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: tokens.map(({ token }) => {
      const at = offset;
      offset += token.length;
      return at;
    }),
  };
}
