import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** The tokenizer beside the weights belongs to another model. `code` TOKENIZER_MISMATCH. */
export class TokenizerMismatchError extends Error {
  readonly code = 'TOKENIZER_MISMATCH';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TokenizerMismatchError';
  }
}

/**
 * Frontends tokenise with the files of this folder: a token id beyond the model's vocabulary would fail each request, so the worker does not start.
 * A smaller tokenizer is usual: vocabularies are padded. Rejects with {@link TokenizerMismatchError}.
 */
export async function checkTokenizer(dir: string, vocabSize: number): Promise<void> {
  const file = path.join(dir, 'tokenizer.json');
  let tokenizer: { model?: { vocab?: unknown }; added_tokens?: { id: number }[] };
  try {
    tokenizer = JSON.parse(await readFile(file, 'utf8')) as typeof tokenizer;
  } catch (cause) {
    throw new TokenizerMismatchError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
  const vocab = tokenizer.model?.vocab ?? {};
  const added = tokenizer.added_tokens ?? [];
  const largest = [...Object.values(vocab as Record<string, number>), ...added.map(({ id }) => id)].reduce((most, id) => Math.max(most, id), -1);
  if (largest >= vocabSize)
    throw new TokenizerMismatchError(`${file} has token ids up to ${largest}, the model's vocabulary has ${vocabSize} tokens: they do not belong together`);
}
