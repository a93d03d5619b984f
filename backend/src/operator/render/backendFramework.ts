import type { BackendFramework, ServiceSpec } from '../graphTypes.ts';
import { componentKind } from './componentKind.ts';
import { RenderError } from './renderError.ts';

const pattern = /python[0-9.]*\s+(?:[^\n;&|]*?\s)?-m\s+dynamo\.(vllm|sglang|trtllm)\b/g;

/** The engine that a worker's command and args start; explicit and detected must agree. Undefined for other services. */
export function backendFramework(service: ServiceSpec, explicit: BackendFramework | undefined): BackendFramework | undefined {
  if (componentKind(service.componentType) !== 'worker') return explicit;
  const container = service.extraPodSpec?.mainContainer;
  const words = [...(container?.command ?? []), ...(container?.args ?? [])].join(' ');
  const detected = [...new Set([...words.matchAll(pattern)].map((match) => match[1] as BackendFramework))];
  if (detected.length > 1) throw new RenderError(`multiple backend frameworks detected from command: ${detected.join(', ')}`);
  const found = detected[0];
  if (found !== undefined && explicit !== undefined && found !== explicit) {
    throw new RenderError(`backend framework mismatch: detected "${found}" from command but explicitly configured as "${explicit}"`);
  }
  return found ?? explicit;
}
