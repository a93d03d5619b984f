import type { Container, Fragment, PodSpec } from '../graphTypes.ts';
import { annotation, discoveryServiceAccountName, label } from '../names.ts';
import { componentLabels, type ComponentContext } from './componentContext.ts';
import { defaultContainer } from './defaultContainer.ts';
import { mergeContainer, mergeFragments } from './mergeContainer.ts';
import { mergeEnv } from './mergeEnv.ts';
import { containerResources } from './resources.ts';
import { standardEnv } from './standardEnv.ts';
import { claimVolumes, sharedMemory } from './volumes.ts';

export interface PodTemplate {
  metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
  spec: PodSpec & { containers: Container[]; volumes: ({ name: string } & Fragment)[] };
}

const terminationGracePeriodSeconds = 60;
const defaultFsGroup = 1000;

/** Lists that the user adds to rather than replaces; an entry with the name of an earlier one takes its place. */
const appendedLists = ['volumes', 'initContainers', 'tolerations', 'imagePullSecrets', 'hostAliases', 'topologySpreadConstraints'] as const;

function appended(base: unknown, extra: unknown): Fragment[] {
  const added = Array.isArray(extra) ? (extra as Fragment[]) : [];
  const names = new Set(added.flatMap((item) => (typeof item['name'] === 'string' ? [item['name']] : [])));
  const kept = Array.isArray(base) ? (base as Fragment[]).filter((item) => !names.has(String(item['name']))) : [];
  return [...kept, ...added];
}

function mainContainer(context: ComponentContext): { container: Container; volumes: ({ name: string } & Fragment)[] } {
  const { spec, component, profile, graph, namespace, discoveryBackend, options } = context;
  const merged = mergeContainer(defaultContainer(spec.componentType, profile), spec.extraPodSpec?.mainContainer ?? {});
  const claims = claimVolumes(spec, component.spec.backendFramework);
  const shared = sharedMemory(spec, { ...merged, volumeMounts: [...(merged.volumeMounts ?? []), ...claims.mounts] });
  const resources = containerResources(merged.resources, spec.resources);
  const volumeMounts = [...(merged.volumeMounts ?? []), ...claims.mounts, ...shared.mounts];
  const container: Container = {
    ...merged,
    env: mergeEnv(standardEnv({ graph, kubeNamespace: namespace, service: spec, profile, discoveryBackend, options }), merged.env, spec.envs),
    ...(spec.livenessProbe === undefined ? {} : { livenessProbe: spec.livenessProbe }),
    ...(spec.readinessProbe === undefined ? {} : { readinessProbe: spec.readinessProbe }),
    ...(spec.envFromSecret === undefined ? {} : { envFrom: [...(merged.envFrom ?? []), { secretRef: { name: spec.envFromSecret } }] }),
    ...(resources === undefined ? {} : { resources }),
    ...(volumeMounts.length === 0 ? {} : { volumeMounts }),
  };
  return { container, volumes: [...claims.volumes, ...shared.volumes] };
}

/** The pod of a component: defaults of its type and runtime release, then the service's fields, then `extraPodSpec`. */
export function podTemplate(context: ComponentContext): PodTemplate {
  const { spec, graph, discoveryBackend, component } = context;
  const { container, volumes } = mainContainer(context);
  const { mainContainer: _, containers: sidecars, ...extra } = spec.extraPodSpec ?? {};
  const base: PodSpec = {
    containers: [container, ...(sidecars ?? [])],
    volumes,
    restartPolicy: 'Always',
    terminationGracePeriodSeconds,
    securityContext: { fsGroup: defaultFsGroup },
    ...(discoveryBackend === 'kubernetes' ? { serviceAccountName: discoveryServiceAccountName(graph) } : {}),
  };
  const pod = mergeFragments(base, extra) as PodTemplate['spec'];
  for (const field of appendedLists) {
    const list = appended(base[field], extra[field]);
    if (list.length > 0) (pod as Fragment)[field] = list;
  }
  const labels = componentLabels(context);
  const annotations = { ...spec.annotations, ...spec.extraPodMetadata?.annotations };
  const metrics = (spec.annotations?.[annotation.enableMetrics] ?? component.metadata.annotations?.[annotation.enableMetrics]) !== 'false';
  return {
    metadata: {
      labels: {
        ...labels,
        ...(metrics ? { [label.metricsEnabled]: 'true' } : {}),
        ...spec.labels,
        ...spec.extraPodMetadata?.labels,
        [label.selector]: labels[label.selector]!,
      },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    spec: pod,
  };
}
