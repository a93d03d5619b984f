import { Worker } from 'node:worker_threads';
import type { EncodeResult, EncodeTask, Prompt } from './encoderThread.ts';
import type { TextCodec } from './textCodec.ts';
import { TextCodecError } from './textCodecError.ts';

export interface PromptEncoderOptions {
  /** Folder that `codec` was loaded from. */
  dir: string;
  codec: TextCodec;
  /** Characters from which on a prompt is tokenised on the thread. Default 2,000: what takes about 5 ms. */
  longPrompt?: number;
}

/**
 * Tokenises prompts without holding up the event loop, where other answers are being streamed: a short one at once, a long one on a thread that is
 * started for the first of them and has a tokenizer of its own.
 */
export class PromptEncoder implements AsyncDisposable {
  readonly #options: PromptEncoderOptions;
  readonly #pending = new Map<number, PromiseWithResolvers<number[]>>();
  #thread: Worker | undefined;
  #nextId = 0;
  #closed = false;

  constructor(options: PromptEncoderOptions) {
    this.#options = options;
  }

  /** Rejects with TextCodecError, with the signal's reason, or with the error that ended the thread. */
  async encode(prompt: Prompt, signal?: AbortSignal): Promise<number[]> {
    const { codec, longPrompt = 2_000 } = this.#options;
    signal?.throwIfAborted();
    if (lengthOf(prompt) < longPrompt) return 'text' in prompt ? codec.encode(prompt.text) : codec.tokenizeChat(prompt.messages);
    if (this.#closed) throw new Error('the tokenizer is closed');
    const id = this.#nextId++;
    const pending = Promise.withResolvers<number[]>();
    this.#pending.set(id, pending);
    const giveUp = (): void => this.#settle(id)?.reject(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    this.#thread ??= this.#start();
    this.#thread.postMessage({ id, prompt } satisfies EncodeTask);
    try {
      return await pending.promise;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    this.#fail(new Error('the tokenizer is closed'));
    await thread?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): Worker {
    const thread = new Worker(new URL('./encoderThread.ts', import.meta.url), { workerData: { dir: this.#options.dir } });
    thread.unref();
    thread.on('message', (result: EncodeResult) => {
      const pending = this.#settle(result.id);
      if ('ids' in result) pending?.resolve(Array.from(result.ids));
      else pending?.reject(new TextCodecError(result.refusal.code, result.refusal.message));
    });
    const ended = (error: Error): void => {
      if (this.#thread === thread) this.#fail(error);
    };
    thread.on('error', ended);
    thread.on('exit', (code) => ended(new Error(`the tokenizer's thread ended with exit code ${code}`)));
    return thread;
  }

  #settle(id: number): PromiseWithResolvers<number[]> | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  /** The next long prompt starts another thread. */
  #fail(error: Error): void {
    this.#thread = undefined;
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(error);
  }
}

function lengthOf(prompt: Prompt): number {
  if ('text' in prompt) return prompt.text.length;
  let length = 0;
  for (const { content } of prompt.messages) length += typeof content === 'string' ? content.length : 0;
  return length;
}
