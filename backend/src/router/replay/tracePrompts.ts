import type { BlockHashes, RouterKernels } from '../routerKernels.ts';
import { traceTokens, type TraceRequest } from './mooncakeTrace.ts';

/** The full KV blocks of one prompt. */
export interface PromptBlocks extends BlockHashes {
  /** A small number per block: equal numbers, equal prefixes. Simulated caches count by them, many times per block. */
  numbers: Int32Array;
}

/** A piece of text after a certain other text. */
interface Piece {
  next: Map<number, Piece>;
  /** Number of its first block. */
  firstNumber: number;
}

/** Turns the requests of a trace into blocks, and numbers the blocks in order of appearance. */
export class TracePrompts {
  readonly #kernels: RouterKernels;
  readonly #blockSize: number;
  readonly #traceBlockTokens: number;
  readonly #start: Piece = { next: new Map(), firstNumber: 0 };
  readonly #byHash = new Map<bigint, number>();
  /** The tokens of the prompt under way. */
  #tokens = new Uint32Array(0);
  #count = 0;

  constructor({ kernels, blockSize, traceBlockTokens }: { kernels: RouterKernels; blockSize: number; traceBlockTokens: number }) {
    this.#kernels = kernels;
    this.#blockSize = blockSize;
    this.#traceBlockTokens = traceBlockTokens;
  }

  /** Numbers given so far: the next one to be given. */
  get count(): number {
    return this.#count;
  }

  blocksOf(request: TraceRequest): PromptBlocks {
    if (this.#tokens.length < request.input_length) this.#tokens = new Uint32Array(2 * request.input_length);
    const tokens = traceTokens(request, this.#traceBlockTokens, this.#tokens);
    const { local, sequence } = this.#kernels.hashBlocks(tokens, this.#blockSize, {});
    const whole = this.#traceBlockTokens % this.#blockSize === 0;
    return { local, sequence, numbers: whole ? this.#numbersByPiece(request.hash_ids, sequence.length) : this.#numbersByHash(sequence) };
  }

  /** Where a piece of the trace is a whole number of blocks, its ids say which blocks are equal. */
  #numbersByPiece(ids: readonly number[], blocks: number): Int32Array {
    const perPiece = this.#traceBlockTokens / this.#blockSize;
    const numbers = new Int32Array(blocks);
    let piece = this.#start;
    for (let at = 0, index = 0; at < blocks; index++) {
      let next = piece.next.get(ids[index]!);
      if (!next) {
        piece.next.set(ids[index]!, (next = { next: new Map(), firstNumber: this.#count }));
        this.#count += perPiece;
      }
      piece = next;
      for (let i = 0; i < perPiece && at < blocks; i++) numbers[at++] = piece.firstNumber + i;
    }
    return numbers;
  }

  #numbersByHash(sequence: BigUint64Array): Int32Array {
    return Int32Array.from({ length: sequence.length }, (_, at) => {
      const hash = sequence[at]!;
      let number = this.#byHash.get(hash);
      if (number === undefined) this.#byHash.set(hash, (number = this.#count++));
      return number;
    });
  }
}
