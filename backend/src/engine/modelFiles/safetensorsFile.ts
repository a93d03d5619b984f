import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ModelFileError } from './modelFileError.ts';

export interface SafetensorsTensor {
  name: string;
  shape: number[];
  type: 'F32' | 'F16' | 'BF16';
  /** Byte offset in the file. */
  offset: number;
}

const elementBytes = { F32: 4, F16: 2, BF16: 2 } as const;
const maxHeaderBytes = 100 << 20;

/** Reads and checks the header of a .safetensors file; throws {@link ModelFileError}. Every tensor lies inside the file. */
export function readSafetensors(path: string): SafetensorsTensor[] {
  const fd = openSync(path, 'r');
  try {
    const size = fstatSync(fd).size;
    const prefix = Buffer.alloc(8);
    if (readSync(fd, prefix, 0, 8, 0) < 8) throw new ModelFileError('TRUNCATED', path, 'header', 'is shorter than its own length field');
    const headerBytes = Number(prefix.readBigUInt64LE());
    if (headerBytes > maxHeaderBytes) throw new ModelFileError('BAD_MAGIC', path, 'header', `claims ${headerBytes} bytes: not a safetensors file`);
    if (8 + headerBytes > size) throw new ModelFileError('TRUNCATED', path, 'header', `ends at byte ${8 + headerBytes}, the file at ${size}`);
    const header = Buffer.alloc(headerBytes);
    readSync(fd, header, 0, headerBytes, 8);
    return parseHeader(path, size, header, 8 + headerBytes);
  } finally {
    closeSync(fd);
  }
}

function parseHeader(path: string, size: number, header: Buffer, dataStart: number): SafetensorsTensor[] {
  let entries: Record<string, { dtype?: unknown; shape?: unknown; data_offsets?: unknown }>;
  try {
    entries = JSON.parse(header.toString('utf8')) as typeof entries;
  } catch (cause) {
    throw new ModelFileError('BAD_VALUE', path, 'header', 'is not JSON', { cause });
  }
  return Object.entries(entries)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, { dtype, shape, data_offsets: offsets }]): SafetensorsTensor => {
      if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) throw new ModelFileError('BAD_VALUE', path, name, 'lacks shape or data_offsets');
      if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
        throw new ModelFileError('UNSUPPORTED_TYPE', path, name, `has type ${String(dtype)}; supported are F32, F16 and BF16`);
      }
      const [begin, end] = offsets as [number, number];
      const bytes = shape.reduce((product, extent) => product * extent, elementBytes[dtype]);
      if (end - begin !== bytes) throw new ModelFileError('BAD_VALUE', path, name, `has ${end - begin} bytes, its shape needs ${bytes}`);
      if (dataStart + end > size) throw new ModelFileError('TRUNCATED', path, name, `ends at byte ${dataStart + end}, the file at ${size}`);
      return { name, shape, type: dtype, offset: dataStart + begin };
    });
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
