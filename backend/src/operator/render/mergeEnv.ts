import type { EnvVar } from '../graphTypes.ts';

/** Unites environments by name, later lists win, sorted by name so that the same input always gives the same pod. */
export function mergeEnv(...lists: (EnvVar[] | undefined)[]): EnvVar[] {
  const byName = new Map<string, EnvVar>();
  for (const variable of lists.flatMap((list) => list ?? [])) byName.set(variable.name, variable);
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
