import { closeSync, openSync, readSync, statSync } from 'node:fs';
import path from 'node:path';

const interpreterSegment = 3;
const headerBytes = 4096;

/**
 * True for an ELF program without an interpreter (statically linked, as most Go programs): the preload library is never
 * loaded into it, so it would use this machine's addresses. Scripts and unknown formats are not.
 */
export function isStaticProgram(file: string): boolean {
  const bytes = Buffer.alloc(headerBytes);
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return false;
  }
  try {
    if (readSync(fd, bytes, 0, headerBytes, 0) < 64) return false;
  } finally {
    closeSync(fd);
  }
  const is64BitLittleEndianElf = bytes.readUInt32BE(0) === 0x7f454c46 && bytes[4] === 2 && bytes[5] === 1;
  if (!is64BitLittleEndianElf) return false;
  const offset = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  for (let i = 0; i < count && offset + (i + 1) * size <= headerBytes; i++) {
    if (bytes.readUInt32LE(offset + i * size) === interpreterSegment) return false;
  }
  return true;
}

/** The file that `name` means on a search path; `undefined` when there is none. */
export function findProgram(name: string, searchPath: string, cwd: string): string | undefined {
  const candidates = name.includes('/') ? [path.resolve(cwd, name)] : searchPath.split(':').map((dir) => path.join(dir, name));
  return candidates.find((file) => {
    try {
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}
