import path from 'node:path';
import type { BindMount } from '../podNet.ts';

/** The host path of a file that a pod would see below one of its mounts; other paths stay as they are. */
export function hostPathOf(target: string, mounts: readonly BindMount[]): string {
  // Later mounts lie on top of earlier ones.
  for (const mount of mounts.toReversed()) {
    if (target === mount.target) return mount.source;
    if (target.startsWith(`${mount.target}/`)) return path.join(mount.source, target.slice(mount.target.length + 1));
  }
  return target;
}

/** Replaces mount targets within a word of a command line or an environment value, where they stand as whole paths. */
export function rewritePaths(word: string, mounts: readonly BindMount[]): string {
  const moved = mounts.filter(({ source, target }) => source !== target && target !== '/');
  if (moved.length === 0) return word;
  const targets = moved.map(({ target }) => target).toSorted((a, b) => b.length - a.length);
  const pattern = new RegExp(`(^|[\\s=:,;"'(\`<>])(${targets.map(escape).join('|')})(?=$|[\\s/:,;"')\`<>&|])`, 'g');
  return word.replace(pattern, (_whole, before: string, target: string) => before + hostPathOf(target, moved));
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
