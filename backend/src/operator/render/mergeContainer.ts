import type { Container, Fragment } from '../graphTypes.ts';
import { mergeEnv } from './mergeEnv.ts';

const wholeFields = new Set(['livenessProbe', 'readinessProbe', 'startupProbe']);

export function isFragment(value: unknown): value is Fragment {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Objects are united, everything else in `override` replaces; an empty list or string means "not given", as in Go. */
export function mergeFragments(base: Fragment, override: Fragment): Fragment {
  const result: Fragment = { ...base };
  for (const [key, value] of Object.entries(override)) {
    if (value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    const own = result[key];
    result[key] = isFragment(own) && isFragment(value) ? mergeFragments(own, value) : value;
  }
  return result;
}

/**
 * `extraPodSpec.mainContainer` over the default container: env by name, lists replaced, and each probe replaced whole, so
 * that an integer port or an `exec` handler takes effect instead of being mixed into the default probe.
 */
export function mergeContainer(base: Container, override: Container): Container {
  const probes = Object.fromEntries(Object.entries(override).filter(([key, value]) => wholeFields.has(key) && value !== undefined));
  const { env, ...rest } = override;
  const others = Object.fromEntries(Object.entries(rest).filter(([key]) => !wholeFields.has(key)));
  return { ...mergeFragments(base, others), ...probes, env: mergeEnv(base.env, env), name: 'main' };
}
