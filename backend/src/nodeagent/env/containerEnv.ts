import type { Container, Pod } from '../pods/pod.ts';
import type { ConfigSource } from './configSource.ts';
import { expandReferences } from './expansion.ts';
import { podField, resourceField, type NodeFacts } from './fieldPath.ts';

/**
 * A container's declared environment (kubelet makeEnvironmentVariables): `envFrom` first, then `env` in order, each value
 * expanded against what stands before it and the service variables; service variables fill what is left.
 */
export async function containerEnv(
  pod: Pod,
  container: Container,
  options: { config: ConfigSource; facts: NodeFacts; services: Record<string, string> },
): Promise<Record<string, string>> {
  const { config, facts, services } = options;
  const env: Record<string, string> = {};
  for (const source of container.envFrom ?? []) {
    const reference = source.configMapRef ?? source.secretRef;
    if (reference === undefined) continue;
    const data = await config.data(source.configMapRef === undefined ? 'secret' : 'configmap', reference.name, reference.optional);
    for (const [key, value] of data ?? []) env[`${source.prefix ?? ''}${key}`] = value.toString('utf8');
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (value !== undefined && value !== '') env[name] = expandReferences(value, (variable) => env[variable] ?? services[variable]);
    else if (valueFrom?.fieldRef !== undefined) env[name] = podField(pod, valueFrom.fieldRef.fieldPath, facts);
    else if (valueFrom?.resourceFieldRef !== undefined) env[name] = resourceField(pod, container, valueFrom.resourceFieldRef, facts);
    else if (valueFrom?.configMapKeyRef !== undefined || valueFrom?.secretKeyRef !== undefined) {
      const reference = (valueFrom.configMapKeyRef ?? valueFrom.secretKeyRef)!;
      const found = await config.key(valueFrom.configMapKeyRef === undefined ? 'secret' : 'configmap', reference.name, reference.key, reference.optional);
      if (found !== undefined) env[name] = found.toString('utf8');
    } else env[name] = '';
  }
  return { ...services, ...env };
}

/** `command` and `args` with their `$(VAR)` references replaced, on top of what the image brings. */
export function containerArgv(container: Container, image: { entrypoint: string[]; command: string[] }, env: Record<string, string>): string[] {
  const expand = (words: string[]): string[] => words.map((word) => expandReferences(word, (name) => env[name]));
  const given = (words: string[] | undefined): words is string[] => words !== undefined && words.length > 0;
  if (given(container.command)) return [...expand(container.command), ...expand(container.args ?? [])];
  return [...image.entrypoint, ...(given(container.args) ? expand(container.args) : image.command)];
}
