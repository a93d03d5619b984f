import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ggufTypes, type GgufType } from './ggufTypes.ts';
import { ModelFileError } from './modelFileError.ts';

export type GgufValue = number | bigint | boolean | string | GgufValue[];

export interface GgufTensor {
  name: string;
  /** Rows first, as NumPy and PyTorch count (the file has the reverse). */
  shape: number[];
  type: GgufType;
  /** Byte offset in the file. */
  offset: number;
  bytes: number;
}

/** The header of a GGUF file (version 2 or 3, little endian): https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
export interface GgufFile {
  path: string;
  size: number;
  metadata: Map<string, GgufValue>;
  tensors: GgufTensor[];
}

/** Types that ggml has and nothing here reads. */
const otherTypeNames = new Map<number, string>([
  [9, 'Q8_1'],
  [15, 'Q8_K'],
  [16, 'IQ2_XXS'],
  [17, 'IQ2_XS'],
  [18, 'IQ3_XXS'],
  [19, 'IQ1_S'],
  [20, 'IQ4_NL'],
  [21, 'IQ3_S'],
  [22, 'IQ2_S'],
  [23, 'IQ4_XS'],
  [39, 'MXFP4'],
]);

const maxEntries = 1_000_000;
const firstRead = 4 << 20;

/** The buffer read so far ends inside the header. */
class NeedMore extends Error {}

export interface ReadGgufOptions {
  /** Arrays longer than this are skipped (their key is absent): a vocabulary is only needed to make a tokenizer. Default: none is skipped. */
  maxArrayLength?: number;
}

/** Reads and checks the header; throws {@link ModelFileError}. Tensor data is not read, but every tensor lies inside the file. */
export function readGguf(path: string, options: ReadGgufOptions = {}): GgufFile {
  const fd = openSync(path, 'r');
  try {
    const size = fstatSync(fd).size;
    for (let length = Math.min(size, firstRead); ; length = Math.min(size, length * 2)) {
      const buffer = Buffer.allocUnsafe(length);
      let read = 0;
      for (let n = -1; read < length && n !== 0; read += n) n = readSync(fd, buffer, read, length - read, read);
      try {
        return parseHeader(path, size, buffer.subarray(0, read), options.maxArrayLength ?? maxEntries);
      } catch (error) {
        if (!(error instanceof NeedMore)) throw error;
        if (length >= size) throw new ModelFileError('TRUNCATED', path, 'header', `ends at byte ${size}, before the last tensor's description`);
      }
    }
  } finally {
    closeSync(fd);
  }
}

function parseHeader(path: string, size: number, buffer: Buffer, maxArrayLength: number): GgufFile {
  const cursor = new Cursor(path, buffer);
  const magic = cursor.bytes(4).toString('latin1');
  if (magic !== 'GGUF') throw new ModelFileError('BAD_MAGIC', path, 'magic', `is ${JSON.stringify(magic)}, expected "GGUF"`);
  const version = cursor.u32();
  if (version !== 2 && version !== 3) throw new ModelFileError('UNSUPPORTED_FIELD', path, 'version', `is ${version}, supported are 2 and 3`);
  const tensorCount = cursor.count('tensor_count', maxEntries);
  const metadataCount = cursor.count('metadata_kv_count', maxEntries);

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = cursor.string('metadata key');
    const value = cursor.value(key, cursor.u32(), maxArrayLength);
    if (value !== undefined) metadata.set(key, value);
  }
  const described = Array.from({ length: tensorCount }, () => {
    const name = cursor.string('tensor name');
    const dimensions = cursor.u32();
    if (dimensions < 1 || dimensions > 4) throw new ModelFileError('BAD_VALUE', path, name, `has ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => cursor.count(name, Number.MAX_SAFE_INTEGER)).reverse();
    return { name, shape, typeId: cursor.u32(), relativeOffset: cursor.count(name, Number.MAX_SAFE_INTEGER) };
  });

  const alignment = metadata.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 8 || alignment % 8 !== 0) {
    throw new ModelFileError('BAD_VALUE', path, 'general.alignment', `is ${String(alignment)}, expected a multiple of 8`);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = described.map(({ name, shape, typeId, relativeOffset }): GgufTensor => {
    const type = ggufTypes.get(typeId);
    if (!type) {
      const known = otherTypeNames.get(typeId) ?? `number ${typeId}`;
      throw new ModelFileError(
        'UNSUPPORTED_TYPE',
        path,
        name,
        `has type ${known}; readable are ${[...ggufTypes.values()].map((each) => each.name).join(', ')}`,
      );
    }
    const elements = shape.reduce((product, extent) => product * extent, 1);
    if (shape.at(-1)! % type.blockElements !== 0)
      throw new ModelFileError('BAD_VALUE', path, name, `has rows of ${shape.at(-1)}, not a multiple of ${type.blockElements}`);
    const offset = dataStart + relativeOffset;
    const bytes = (elements / type.blockElements) * type.blockBytes;
    if (offset + bytes > size) throw new ModelFileError('TRUNCATED', path, name, `ends at byte ${offset + bytes}, the file at ${size}`);
    return { name, shape, type: type.name, offset, bytes };
  });
  return { path, size, metadata, tensors };
}

class Cursor {
  position = 0;
  readonly #path: string;
  readonly #buffer: Buffer;
  constructor(path: string, buffer: Buffer) {
    this.#path = path;
    this.#buffer = buffer;
  }

  bytes(length: number): Buffer {
    if (this.position + length > this.#buffer.length) throw new NeedMore();
    return this.#buffer.subarray(this.position, (this.position += length));
  }
  u32(): number {
    return this.bytes(4).readUInt32LE();
  }
  u64(): bigint {
    return this.bytes(8).readBigUInt64LE();
  }
  count(field: string, max: number): number {
    const value = this.u64();
    if (value > BigInt(max)) throw new ModelFileError('BAD_VALUE', this.#path, field, `is ${value}, more than ${max}`);
    return Number(value);
  }
  string(field: string): string {
    return this.bytes(this.count(field, 1 << 26)).toString('utf8');
  }
  /** `undefined` for an array that is longer than wanted. */
  value(key: string, type: number, maxArrayLength: number): GgufValue | undefined {
    switch (type) {
      case 0:
        return this.bytes(1).readUInt8();
      case 1:
        return this.bytes(1).readInt8();
      case 2:
        return this.bytes(2).readUInt16LE();
      case 3:
        return this.bytes(2).readInt16LE();
      case 4:
        return this.u32();
      case 5:
        return this.bytes(4).readInt32LE();
      case 6:
        return this.bytes(4).readFloatLE();
      case 7:
        return this.bytes(1).readUInt8() !== 0;
      case 8:
        return this.string(key);
      case 9:
        return this.#array(key, maxArrayLength);
      case 10:
        return this.#small(this.u64());
      case 11:
        return this.#small(this.bytes(8).readBigInt64LE());
      case 12:
        return this.bytes(8).readDoubleLE();
      default:
        throw new ModelFileError('BAD_VALUE', this.#path, key, `has value type ${type}`);
    }
  }
  #small(value: bigint): number | bigint {
    return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }
  #array(key: string, maxArrayLength: number): GgufValue[] | undefined {
    const type = this.u32();
    const length = this.count(key, maxEntries);
    const values: GgufValue[] | undefined = length <= maxArrayLength ? [] : undefined;
    for (let i = 0; i < length; i++) {
      if (!values && type === 8) {
        this.bytes(this.count(key, 1 << 26));
        continue;
      }
      const value = this.value(key, type, maxArrayLength);
      if (value !== undefined) values?.push(value);
    }
    return values;
  }
}
