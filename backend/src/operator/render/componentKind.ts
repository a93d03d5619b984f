/** How a service is treated: by its `componentType`. */
export type ComponentKind = 'frontend' | 'worker' | 'other';

/** prefill and decode are workers; planner, epp and anything unknown get a bare container. */
export function componentKind(componentType: string | undefined): ComponentKind {
  switch (componentType) {
    case 'frontend':
      return 'frontend';
    case 'worker':
    case 'prefill':
    case 'decode':
      return 'worker';
    default:
      return 'other';
  }
}

export const frontendPort = 8000;
export const systemPort = 9090;
export const nixlTelemetryPort = 19090;
