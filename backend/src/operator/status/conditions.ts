import type { Condition } from '../graphTypes.ts';

/** Sets a condition; the transition time moves only when the status does. */
export function withCondition(conditions: Condition[] | undefined, next: Omit<Condition, 'lastTransitionTime'>, now: string): Condition[] {
  const previous = conditions?.find((condition) => condition.type === next.type);
  const lastTransitionTime = previous !== undefined && previous.status === next.status ? previous.lastTransitionTime : now;
  return [...(conditions ?? []).filter((condition) => condition.type !== next.type), { ...next, lastTransitionTime }];
}

export function condition(conditions: Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((item) => item.type === type);
}
