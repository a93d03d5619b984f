import type { GgufFile, GgufValue } from './ggufFile.ts';
import { ModelFileError } from './modelFileError.ts';

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const split = (pattern: string) => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false });

/** llama.cpp's names of pre-tokenisers. Digits are split by `\p{N}`: the JavaScript `Digits` splits ASCII digits only. */
const preTokenizers: Record<string, unknown[]> = {
  smollm: [split('\\p{N}'), byteLevel],
  'gpt-2': [byteLevel],
  qwen2: [
    split("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"),
    { ...byteLevel, use_regex: false },
  ],
  'llama-bpe': [
    split("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"),
    { ...byteLevel, use_regex: false },
  ],
};

/** Whose merges are skipped for a word that is a token already. */
const ignoresMerges = new Set(['llama-bpe']);

/** Token types of GGUF. */
const controlType = 3;
const userDefinedType = 4;

export interface HfTokenizerFiles {
  /** Content of tokenizer.json. */
  tokenizer: object;
  /** Content of tokenizer_config.json, without the chat template. */
  config: object;
  chatTemplate?: string;
}

/** Hugging Face tokenizer files from a GGUF with a byte-level BPE vocabulary. Throws ModelFileError. */
export function ggufTokenizer(gguf: GgufFile): HfTokenizerFiles {
  const key = (name: string): GgufValue | undefined => gguf.metadata.get(`tokenizer.ggml.${name}`);
  const fail = (name: string, message: string): never => {
    throw new ModelFileError('UNSUPPORTED_FIELD', gguf.path, `tokenizer.ggml.${name}`, message);
  };
  const strings = (name: string): string[] => {
    const value = key(name);
    return Array.isArray(value) && value.every((entry) => typeof entry === 'string') ? (value as string[]) : fail(name, 'is not an array of strings');
  };
  if (key('model') !== 'gpt2') fail('model', `is ${String(key('model'))}; only byte-level BPE (gpt2) is supported`);
  const pre = String(key('pre'));
  const pretokenizers = preTokenizers[pre] ?? fail('pre', `is ${pre}; supported are ${Object.keys(preTokenizers).join(', ')}`);
  const tokens = strings('tokens');
  const types = key('token_type');
  const typeOf = (id: number): unknown => (Array.isArray(types) ? types[id] : undefined);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  if (Object.keys(vocab).length !== tokens.length) fail('tokens', 'holds a token twice');
  const added = tokens
    .map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: typeOf(id) === controlType }))
    .filter(({ id }) => typeOf(id) === controlType || typeOf(id) === userDefinedType);
  const named = (name: string): string | null => {
    const id = key(`${name}_token_id`);
    return typeof id === 'number' ? (tokens[id] ?? null) : null;
  };
  const chatTemplate = gguf.metadata.get('tokenizer.chat_template');
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: pre === 'qwen2' ? { type: 'NFC' } : null,
      pre_tokenizer: { type: 'Sequence', pretokenizers },
      post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: ignoresMerges.has(pre),
        vocab,
        merges: strings('merges'),
      },
    },
    config: {
      tokenizer_class: 'GPT2Tokenizer',
      add_prefix_space: false,
      add_bos_token: key('add_bos_token') === true,
      added_tokens_decoder: Object.fromEntries(added.map(({ id, ...token }) => [id, token])),
      bos_token: named('bos'),
      eos_token: named('eos'),
      unk_token: named('unknown'),
      pad_token: named('padding'),
      clean_up_tokenization_spaces: false,
    },
    ...(typeof chatTemplate === 'string' && { chatTemplate }),
  };
}
