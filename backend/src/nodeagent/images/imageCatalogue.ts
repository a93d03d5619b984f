import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import type { BindMount } from '../podnet/podNet.ts';
import { parseImage } from './imageReference.ts';

const entrySchema = z.strictObject({
  match: z.string(),
  path: z.array(z.string()).default([]),
  env: z.record(z.string(), z.string()).default({}),
  mounts: z.array(z.strictObject({ source: z.string(), target: z.string().optional(), readOnly: z.boolean().default(true) })).default([]),
  entrypoint: z.array(z.string()).default([]),
  command: z.array(z.string()).default([]),
  workingDir: z.string().default('/'),
  loopbackArgs: z.array(z.string()).default([]),
});

const catalogueSchema = z.strictObject({ images: z.array(entrySchema) });

type Entry = z.infer<typeof entrySchema>;

/** What an image is on this node: no layers, but a program of this machine. */
export interface ResolvedImage {
  /** The content address that container statuses show as imageID. */
  id: string;
  /** Directories put before the node's default PATH. */
  path: string[];
  env: Record<string, string>;
  mounts: BindMount[];
  /** Docker's ENTRYPOINT, replaced by the container's `command`. */
  entrypoint: string[];
  /** Docker's CMD, replaced by the container's `args`, dropped when it sets `command`. */
  command: string[];
  workingDir: string;
  /** Arguments that a statically linked program needs where the pod network is the loopback map. */
  loopbackArgs: string[];
}

/** The catalogue file is not valid. */
export class CatalogueError extends Error {
  readonly code = 'IMAGE_CATALOGUE_INVALID';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CatalogueError';
  }
}

function globToRegExp(glob: string): RegExp {
  return new RegExp(`^${glob.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`);
}

/**
 * The image catalogue: image pattern → program of this machine. Patterns match `name:tag` (`*` any text; no tag in the
 * pattern: any tag); the first match wins. Values may use `${project}`, `${node}`, `${cache}`, `${transfer}`, `${name}` and `${tag}`.
 */
export class ImageCatalogue {
  readonly #entries: { entry: Entry; pattern: RegExp }[];
  readonly #variables: Record<string, string>;

  constructor(text: string, variables: Record<string, string>) {
    const parsed = catalogueSchema.safeParse(parse(text));
    if (!parsed.success) throw new CatalogueError(`image catalogue: ${z.prettifyError(parsed.error)}`, { cause: parsed.error });
    this.#variables = variables;
    this.#entries = parsed.data.images.map((entry) => ({ entry, pattern: globToRegExp(entry.match.includes(':') ? entry.match : `${entry.match}:*`) }));
  }

  static fromFile(file: string, variables: Record<string, string>): ImageCatalogue {
    return new ImageCatalogue(readFileSync(file, 'utf8'), variables);
  }

  /** The program of an image, or undefined when the catalogue has none. */
  resolve(image: string): ResolvedImage | undefined {
    const reference = parseImage(image);
    if (reference === undefined) return undefined;
    const full = `${reference.name}:${reference.tag}`;
    const entry = this.#entries.find(({ pattern }) => pattern.test(full))?.entry;
    if (entry === undefined) return undefined;
    const variables: Record<string, string> = { ...this.#variables, ...reference };
    const fill = (text: string): string => text.replace(/\$\{(\w+)\}/g, (whole, name: string) => variables[name] ?? whole);
    return {
      id: `dynamo-labs/${reference.name}@sha256:${createHash('sha256')
        .update(JSON.stringify([full, entry]))
        .digest('hex')}`,
      path: entry.path.map(fill),
      env: Object.fromEntries(Object.entries(entry.env).map(([name, value]) => [name, fill(value)])),
      mounts: entry.mounts.map((mount) => ({ source: fill(mount.source), target: fill(mount.target ?? mount.source), readOnly: mount.readOnly })),
      entrypoint: entry.entrypoint.map(fill),
      command: entry.command.map(fill),
      workingDir: fill(entry.workingDir),
      loopbackArgs: entry.loopbackArgs.map(fill),
    };
  }
}
