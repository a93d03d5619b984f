/** Fills with bytes that depend on the seed and the place. */
export function fillSeeded(buffer: ArrayBuffer, seed: number): void {
  const words = new Uint32Array(buffer);
  let state = (seed >>> 0) + 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[i] = state;
  }
}
