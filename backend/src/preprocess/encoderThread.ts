import { parentPort, workerData } from 'node:worker_threads';
import type { ChatMessage } from './textCodec.ts';
import { loadTextCodec } from './textCodec.ts';
import { TextCodecError, type TextCodecErrorCode } from './textCodecError.ts';

/** What one prompt is: a plain text, or a chat. */
export type Prompt = { text: string } | { messages: readonly ChatMessage[] };

export interface EncodeTask {
  id: number;
  prompt: Prompt;
}

export type EncodeResult = { id: number } & ({ ids: Int32Array<ArrayBuffer> } | { refusal: { code: TextCodecErrorCode; message: string } });

/** The thread's own program: tokenises one prompt after the other. Anything but a refusal of the codec ends it. */
async function main(port: NonNullable<typeof parentPort>): Promise<void> {
  const codec = await loadTextCodec((workerData as { dir: string }).dir);
  port.on('message', ({ id, prompt }: EncodeTask) => {
    try {
      const ids = Int32Array.from('text' in prompt ? codec.encode(prompt.text) : codec.tokenizeChat(prompt.messages));
      port.postMessage({ id, ids } satisfies EncodeResult, [ids.buffer]);
    } catch (error) {
      if (!(error instanceof TextCodecError)) throw error;
      port.postMessage({ id, refusal: { code: error.code, message: error.message } } satisfies EncodeResult);
    }
  });
}

if (parentPort !== null) await main(parentPort);
