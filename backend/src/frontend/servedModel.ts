import type { ModelDeploymentCard } from '../protocol/index.ts';
import type { PromptEncoder, TextCodec } from '../preprocess/index.ts';
import { WorkerPool, type WorkerPoolOptions } from './workerPool.ts';

/** One model name as this frontend serves it: its text codec, the workers that answer, and those that only compute prompts. */
export class ServedModel extends WorkerPool {
  readonly codec: TextCodec;
  /** Prompts to tokens, off the event loop where they are long. */
  readonly encoder: PromptEncoder;
  /** Seconds since the epoch, when the first worker appeared. */
  readonly created: number;
  /** Set since the first prefill worker appeared; empty when they are gone. */
  prefill: WorkerPool | undefined;

  constructor(parts: { card: ModelDeploymentCard; codec: TextCodec; encoder: PromptEncoder; options: WorkerPoolOptions }) {
    super('decode', parts.card, parts.options);
    this.codec = parts.codec;
    this.encoder = parts.encoder;
    this.created = Math.floor(Date.now() / 1000);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.prefill?.close();
    await this.encoder.close();
  }
}

/** How answers say who computes: absent when the named model itself does. */
export function standInLabel({ name, card }: Pick<ServedModel, 'name' | 'card'>): string | undefined {
  return card.engine.stand_in ? `dynamo-labs:${card.engine.name} standing in for ${name}` : undefined;
}
