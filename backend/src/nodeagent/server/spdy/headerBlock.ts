import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { spdyDictionary } from './spdyDictionary.ts';

export type SpdyHeaders = Record<string, string>;

/** Name/value pairs as SPDY/3.1 writes them before compression. */
export function encodeHeaders(headers: SpdyHeaders): Buffer {
  const word = (text: string): Buffer[] => {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  };
  const pairs = Object.entries(headers);
  const count = Buffer.alloc(4);
  count.writeUInt32BE(pairs.length);
  return Buffer.concat([count, ...pairs.flatMap(([name, value]) => [...word(name), ...word(value)])]);
}

/** Header names are lower-cased: Go's side sends them so already, others may not. */
export function decodeHeaders(block: Buffer): SpdyHeaders {
  const headers: SpdyHeaders = {};
  let at = 4;
  const word = (): string => {
    const length = block.readUInt32BE(at);
    const text = block.toString('utf8', at + 4, at + 4 + length);
    at += 4 + length;
    return text;
  };
  for (let left = block.readUInt32BE(0); left > 0; left -= 1) {
    const name = word().toLowerCase();
    headers[name] = word();
  }
  return headers;
}

/** One direction's compression context: blocks depend on all blocks before them, so calls are carried out in order. */
export class HeaderCodec {
  readonly #stream: Deflate | Inflate;
  #last: Promise<unknown> = Promise.resolve();

  constructor(direction: 'compress' | 'decompress') {
    const options = { dictionary: spdyDictionary, flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH };
    this.#stream = direction === 'compress' ? createDeflate(options) : createInflate(options);
    this.#stream.on('error', () => {});
  }

  run(input: Buffer): Promise<Buffer> {
    const result = this.#last.then(() => this.#once(input));
    this.#last = result.catch(() => {});
    return result;
  }

  close(): void {
    this.#stream.destroy();
  }

  #once(input: Buffer): Promise<Buffer> {
    const stream = this.#stream;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const collect = (chunk: Buffer): void => void chunks.push(chunk);
      stream.on('data', collect);
      stream.once('error', reject);
      stream.write(input, () =>
        stream.flush(constants.Z_SYNC_FLUSH, () => {
          stream.off('data', collect);
          stream.off('error', reject);
          resolve(Buffer.concat(chunks));
        }),
      );
    });
  }
}
