/** The words a byte-level BPE learns its merges from: enough for common English and the course's terms. */
const corpus = `The frontend receives a request, renders the chat template and turns the text into tokens. The router hashes the tokens in blocks of
sixteen, finds which worker already holds the longest prefix in its cache, and sends the request there. A worker computes the rest of the prompt in the
prefill phase and then produces one token after another in the decode phase. Keys and values of every layer are stored in blocks of the KV cache, and the
worker publishes an event for each block that it stores or removes. When the cache is full, the least recently used block is evicted. You are a helpful
assistant that answers questions about distributed inference. What is the capital of France? Please explain what happens when the same question is asked
again with the same system prompt: the blocks are found, only the last tokens are computed, and the first token arrives sooner than before. The operator
watches the graph and creates a deployment and a service for each component. The quick brown fox jumps over the lazy dog while the system is running.`;

const wordPattern = /'(?:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/giu;
const specials = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteAlphabet(): string[] {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

function learnMerges(count: number, alphabet: string[]): [string, string][] {
  const frequency = new Map<string, number>();
  for (const [word] of corpus.matchAll(wordPattern)) {
    const spelled = [...new TextEncoder().encode(word)].map((byte) => alphabet[byte]!).join('');
    frequency.set(spelled, (frequency.get(spelled) ?? 0) + 1);
  }
  const words = [...frequency].map(([word, times]) => ({ pieces: [...word], times }));
  const merges: [string, string][] = [];
  while (merges.length < count) {
    const pairs = new Map<string, number>();
    for (const { pieces, times } of words) {
      for (let i = 1; i < pieces.length; i++) {
        const pair = `${pieces[i - 1]} ${pieces[i]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + times);
      }
    }
    const best = [...pairs].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a));
    const [left, right] = best[0].split(' ') as [string, string];
    merges.push([left, right]);
    for (const word of words) word.pieces = mergePair(word.pieces, left, right);
  }
  return merges;
}

function mergePair(pieces: string[], left: string, right: string): string[] {
  const merged: string[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) merged.push(left + pieces[++i]!);
    else merged.push(pieces[i]!);
  }
  return merged;
}

export const tinyChatTemplate =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** Tokenizer files of the generated model: `vocabSize` tokens, the last three of them control tokens. */
export function tinyTokenizer(vocabSize: number): { tokenizer: object; config: object; eosTokenId: number } {
  const alphabet = byteAlphabet();
  const merges = learnMerges(vocabSize - alphabet.length - specials.length, alphabet);
  const vocab = Object.fromEntries([...alphabet, ...merges.map((pair) => pair.join(''))].map((token, id) => [token, id]));
  const firstSpecial = vocabSize - specials.length;
  const added = specials.map((content, i) => ({
    id: firstSpecial + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  const words = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const pretokenizers = [{ type: 'Split', pattern: { Regex: words }, behavior: 'Isolated', invert: false }, byteLevel];
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { type: 'Sequence', pretokenizers },
      post_processor: null,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab,
        merges: merges.map((pair) => pair.join(' ')),
      },
    },
    config: { tokenizer_class: 'Qwen2Tokenizer', add_bos_token: false, bos_token: null, eos_token: '<|im_end|>', clean_up_tokenization_spaces: false },
    eosTokenId: vocabSize - 1,
  };
}
