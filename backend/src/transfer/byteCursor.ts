/** Reads little-endian fields. After the first one that does not fit, everything reads as zero and `ok()` is false. */
export interface ByteCursor {
  u8(): number;
  u16(): number;
  u32(): number;
  u64(): bigint;
  bytes(count: number): Uint8Array;
  /** A length (u16) and so many bytes; longer than `max` is refused. Latin-1, so that every byte sequence survives. */
  text(max: number): string;
  left(): number;
  ok(): boolean;
  /** Everything was read and nothing is left over. */
  done(): boolean;
}

export function cursorOver(bytes: Uint8Array): ByteCursor {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let ok = true;
  const take = (count: number): number | undefined => {
    if (!ok || count > bytes.byteLength - at) {
      ok = false;
      return undefined;
    }
    at += count;
    return at - count;
  };
  const field = <T>(size: number, read: (offset: number) => T, zero: T): T => {
    const offset = take(size);
    return offset === undefined ? zero : read(offset);
  };
  const cursor: ByteCursor = {
    u8: () => field(1, (offset) => view.getUint8(offset), 0),
    u16: () => field(2, (offset) => view.getUint16(offset, true), 0),
    u32: () => field(4, (offset) => view.getUint32(offset, true), 0),
    u64: () => field(8, (offset) => view.getBigUint64(offset, true), 0n),
    bytes: (count) => field(count, (offset) => bytes.subarray(offset, offset + count), new Uint8Array(count)),
    text(max) {
      const size = cursor.u16();
      if (size > max) ok = false;
      return Buffer.from(field(size, (offset) => bytes.subarray(offset, offset + size), new Uint8Array(0))).toString('latin1');
    },
    left: () => bytes.byteLength - at,
    ok: () => ok,
    done: () => ok && at === bytes.byteLength,
  };
  return cursor;
}
