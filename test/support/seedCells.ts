import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The folder with the course's first texts, which a clone does not have: `DYNAMO_LABS_SEEDS`, else beside the checkout. */
export const seedsDir = process.env['DYNAMO_LABS_SEEDS'] ?? path.resolve(import.meta.dirname, '../../../shared/seeds');

/** Why tests over the seeds cannot run here; undefined when they can. */
export const seedsMissing = existsSync(path.join(seedsDir, '003.txt')) ? undefined : `no seeds at ${seedsDir} (set DYNAMO_LABS_SEEDS)`;

export interface SeedCell {
  /** `003:12`: file and index among its bash cells. */
  id: string;
  /** The cell's text, byte for byte. */
  text: string;
}

/** The bash cells of one seed, in order. */
export function seedCells(seed: string): SeedCell[] {
  const text = readFileSync(path.join(seedsDir, `${seed}.txt`), 'utf8');
  return [...text.matchAll(/^```bash\n(.*?)^```/gms)].map((match, index) => ({ id: `${seed}:${index}`, text: match[1]! }));
}

/** The one cell that contains every given text. */
export function seedCell(seed: string, ...parts: string[]): SeedCell {
  const found = seedCells(seed).filter((cell) => parts.every((part) => cell.text.includes(part)));
  if (found.length !== 1) throw new Error(`${found.length} cells of seed ${seed} contain ${JSON.stringify(parts)}: ${found.map((cell) => cell.id).join(', ')}`);
  return found[0]!;
}
