import type { ModelDeploymentCard } from '../protocol/index.ts';
import type { PromptEncoder, TextCodec } from '../preprocess/index.ts';
import type { KvRouter, RouterQueue } from '../router/index.ts';
import type { Instance } from '../runtime/index.ts';
import type { KvEventFollower } from './kvEventFollower.ts';

/** One model name as this frontend serves it: its text codec, its router, and the workers that discovery shows now. */
export interface ServedModel {
  readonly name: string;
  readonly card: ModelDeploymentCard;
  readonly codec: TextCodec;
  /** Prompts to tokens, off the event loop where they are long. */
  readonly encoder: PromptEncoder;
  readonly router: KvRouter;
  /** Set where requests wait while all workers are saturated. */
  readonly queue: RouterQueue | undefined;
  readonly follower: KvEventFollower | undefined;
  readonly workers: ReadonlyMap<bigint, Instance>;
  /** Seconds since the epoch, when the first worker appeared. */
  readonly created: number;
}

/** How answers say who computes: absent when the named model itself does. */
export function standInLabel({ name, card }: Pick<ServedModel, 'name' | 'card'>): string | undefined {
  return card.engine.stand_in ? `dynamo-labs:${card.engine.name} standing in for ${name}` : undefined;
}
