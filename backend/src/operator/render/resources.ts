import type { Fragment, ResourceAmounts, ServiceSpec } from '../graphTypes.ts';
import { isFragment } from './mergeContainer.ts';

const defaultGpuResource = 'nvidia.com/gpu';

function amounts(source: ResourceAmounts | undefined): Record<string, string> {
  if (source === undefined) return {};
  return {
    ...(source.cpu === undefined ? {} : { cpu: source.cpu }),
    ...(source.memory === undefined ? {} : { memory: source.memory }),
    ...(source.gpu === undefined ? {} : { [source.gpuType ?? defaultGpuResource]: source.gpu }),
    ...source.custom,
  };
}

/** The service's `resources` over those of its container: `gpu: "1"` becomes `nvidia.com/gpu: "1"`. */
export function containerResources(container: Fragment | undefined, service: ServiceSpec['resources']): Fragment | undefined {
  const requests = { ...(isFragment(container?.['requests']) ? container['requests'] : {}), ...amounts(service?.requests) };
  const limits = { ...(isFragment(container?.['limits']) ? container['limits'] : {}), ...amounts(service?.limits) };
  const claims = service?.claims ?? container?.['claims'];
  const result: Fragment = {
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(Object.keys(limits).length > 0 ? { limits } : {}),
    ...(claims === undefined ? {} : { claims }),
  };
  return Object.keys(result).length > 0 ? result : undefined;
}
