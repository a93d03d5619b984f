import { createHash } from 'node:crypto';

/** Names the first `count` tokens of a prompt. */
export function promptDigest(tokens: readonly number[], count: number): string {
  return createHash('sha256')
    .update(Int32Array.from(tokens.slice(0, count)))
    .digest('base64url');
}
