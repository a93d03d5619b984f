import path from 'node:path';

const buildDir = path.resolve(import.meta.dirname, '../../../../native/build');

/** The C helper; native/podinit/build.mjs makes it. */
export const podinitProgram = path.join(buildDir, 'podinit');

/** The loopback driver's preload library; the same build makes it. */
export const podinitPreload = path.join(buildDir, 'libpodloopback.so');

/** One directive of a run spec: its name and words (native/podinit/src/spec.h). */
export type Directive = readonly [name: string, ...words: (string | number)[]];

/** A spec as podinit reads it: every word ends with NUL, so no word may hold one. */
export function encodeSpec(directives: readonly Directive[]): Buffer {
  return Buffer.from(directives.map((directive) => directive.map((word) => `${word}\0`).join('')).join(''));
}
