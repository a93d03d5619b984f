import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ControlTokens } from './controlTokens.ts';
import { detokenizer, type TokenStream } from './detokenizer.ts';
import { PieceEncoder, type PieceTokenizerFile } from './pieceEncoder.ts';
import { TextCodecError } from './textCodecError.ts';

export interface ChatMessage {
  role: string;
  content: string;
  [field: string]: unknown;
}

/** Text to tokens and back, as one model does it. Nothing a person writes becomes a control token. */
export interface TextCodec {
  readonly vocabSize: number;
  /** Characters that one token can stand for at most: a text has at least `length / longestToken` tokens. */
  readonly longestToken: number;
  readonly bosTokenId?: number;
  readonly eosTokenIds: number[];
  /** A plain prompt; begins with the BOS token where the model wants one. Names of control tokens are ordinary text. */
  encode(text: string): number[];
  /** Control tokens are left out. */
  decode(ids: readonly number[]): string;
  stream(): TokenStream;
  /** The prompt as the model's chat template words it, for people to read. Throws TextCodecError. */
  applyChat(messages: readonly ChatMessage[], options?: { addGenerationPrompt?: boolean }): string;
  /** The prompt of a chat, ready for an answer. Throws TextCodecError. */
  tokenizeChat(messages: readonly ChatMessage[]): number[];
}

interface AddedToken {
  id: number;
  content: string;
  special?: boolean;
}
interface TokenizerFile extends PieceTokenizerFile {
  added_tokens?: AddedToken[];
  post_processor?: unknown;
}
interface TokenizerConfig {
  add_bos_token?: boolean;
  bos_token?: string | { content: string } | null;
  eos_token?: string | { content: string } | null;
  chat_template?: string | { name: string; template: string }[];
}

/** Reads tokenizer.json, tokenizer_config.json and the chat template of a model folder. Rejects with TextCodecError. */
export async function loadTextCodec(dir: string): Promise<TextCodec> {
  const file = await readJson<TokenizerFile>(dir, 'tokenizer.json');
  if (!file) throw new TextCodecError('NO_TOKENIZER', `${dir} has no tokenizer.json`);
  const config = (await readJson<TokenizerConfig>(dir, 'tokenizer_config.json')) ?? {};
  const generation = (await readJson<{ eos_token_id?: number | number[] }>(dir, 'generation_config.json')) ?? {};
  const template = (await readText(path.join(dir, 'chat_template.jinja'))) ?? configTemplate(config);
  try {
    return new HfTextCodec(file, config, [generation.eos_token_id ?? []].flat(), template);
  } catch (cause) {
    if (cause instanceof TextCodecError) throw cause;
    throw new TextCodecError('BAD_TOKENIZER', `${dir}/tokenizer.json cannot be used: ${(cause as Error).message}`, { cause });
  }
}

class HfTextCodec implements TextCodec {
  readonly vocabSize: number;
  readonly longestToken: number;
  readonly bosTokenId?: number;
  readonly eosTokenIds: number[];
  readonly #tokenizer: Tokenizer;
  /** Absent where pieces cannot be encoded one by one. */
  readonly #pieces: PieceEncoder | undefined;
  readonly #control: ControlTokens;
  readonly #controlIds: ReadonlySet<number>;
  readonly #addBos: boolean;
  readonly #specials: { bos_token: string; eos_token: string };
  readonly #template: Template | undefined;

  constructor(file: TokenizerFile, config: TokenizerConfig, eosTokenIds: number[], template: string | undefined) {
    const added = file.added_tokens ?? [];
    const special = added.filter((token) => token.special);
    // The library turns the names of added tokens into tokens wherever they stand: it only gets to know the harmless ones.
    this.#tokenizer = new Tokenizer(
      { ...file, added_tokens: added.filter((token) => !token.special), post_processor: null },
      { clean_up_tokenization_spaces: false },
    );
    this.#pieces = special.length === added.length ? PieceEncoder.of(file, (text) => this.#encodeWhole(text)) : undefined;
    const ids = new Map(special.map((token) => [token.content, token.id]));
    this.#control = new ControlTokens(ids);
    this.#controlIds = new Set(ids.values());
    this.vocabSize = [...Object.values(file.model?.vocab ?? {}), ...added.map((token) => token.id)].reduce((size, id) => Math.max(size, id + 1), 0);
    this.longestToken = [...Object.keys(file.model?.vocab ?? {}), ...added.map((token) => token.content)].reduce(
      (most, name) => Math.max(most, name.length),
      1,
    );
    const bos = tokenName(config.bos_token);
    const eos = tokenName(config.eos_token);
    const bosId = ids.get(bos);
    if (bosId !== undefined) this.bosTokenId = bosId;
    this.eosTokenIds = [...new Set([...eosTokenIds, ...(ids.has(eos) ? [ids.get(eos)!] : [])])];
    this.#addBos = config.add_bos_token === true && bosId !== undefined;
    this.#specials = { bos_token: bos, eos_token: eos };
    this.#template = template === undefined ? undefined : parseTemplate(template);
  }

  encode(text: string): number[] {
    return [...(this.#addBos ? [this.bosTokenId!] : []), ...this.#encodeText(text)];
  }

  decode(ids: readonly number[]): string {
    const known = ids.filter((id) => !this.#controlIds.has(id) && this.#tokenizer.id_to_token(id) !== undefined);
    return known.length === 0 ? '' : this.#tokenizer.decode(known);
  }

  stream(): TokenStream {
    return detokenizer((ids) => this.decode(ids));
  }

  applyChat(messages: readonly ChatMessage[], options: { addGenerationPrompt?: boolean } = {}): string {
    return this.#render(messages, options.addGenerationPrompt ?? true);
  }

  tokenizeChat(messages: readonly ChatMessage[]): number[] {
    const { marked, mark } = this.#control.mark(messages);
    return this.#control.split(this.#render(marked, true), mark).flatMap((part) => ('control' in part ? [part.control] : this.#encodeText(part.text)));
  }

  #encodeText(text: string): number[] {
    return this.#pieces === undefined ? this.#encodeWhole(text) : this.#pieces.encode(text);
  }

  #encodeWhole(text: string): number[] {
    return text === '' ? [] : this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
  }

  #render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
    if (!this.#template) throw new TextCodecError('NO_CHAT_TEMPLATE', 'the model has no chat template: use completions with a plain prompt');
    try {
      return this.#template.render({ messages, add_generation_prompt: addGenerationPrompt, ...this.#specials });
    } catch (cause) {
      throw new TextCodecError('BAD_CHAT_TEMPLATE', `the model's chat template refused the messages: ${(cause as Error).message}`, { cause });
    }
  }
}

function parseTemplate(text: string): Template {
  try {
    return new Template(text);
  } catch (cause) {
    throw new TextCodecError('BAD_CHAT_TEMPLATE', `the chat template cannot be parsed: ${(cause as Error).message}`, { cause });
  }
}

function configTemplate(config: TokenizerConfig): string | undefined {
  const { chat_template: template } = config;
  return Array.isArray(template) ? template.find((entry) => entry.name === 'default')?.template : template;
}

function tokenName(token: TokenizerConfig['bos_token']): string {
  return typeof token === 'string' ? token : (token?.content ?? '');
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function readJson<T>(dir: string, name: string): Promise<T | undefined> {
  const text = await readText(path.join(dir, name));
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new TextCodecError('BAD_TOKENIZER', `${path.join(dir, name)} is not JSON`, { cause });
  }
}
