import type { Container } from '../graphTypes.ts';
import { componentKind, frontendPort, nixlTelemetryPort, systemPort } from './componentKind.ts';
import type { RuntimeProfile } from './runtimeProfile.ts';

function frontend(profile: RuntimeProfile): Container {
  return {
    name: 'main',
    command: ['python3'],
    args: ['-m', 'dynamo.frontend'],
    ports: [{ name: 'http', containerPort: frontendPort, protocol: 'TCP' }],
    env: [
      { name: 'DYNAMO_PORT', value: String(frontendPort) },
      { name: 'DYN_HTTP_PORT', value: String(frontendPort) },
      ...(profile.nixlTelemetry ? [{ name: 'NVIDIA_VISIBLE_DEVICES', value: 'void' }] : []),
    ],
    livenessProbe: { httpGet: { path: '/live', port: 'http' }, initialDelaySeconds: 15, periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 },
    readinessProbe: { httpGet: { path: '/health', port: 'http' }, initialDelaySeconds: 10, periodSeconds: 10, timeoutSeconds: 3, failureThreshold: 3 },
  };
}

function worker(profile: RuntimeProfile): Container {
  return {
    name: 'main',
    command: ['/bin/sh', '-c'],
    ports: [
      { name: 'system', containerPort: systemPort, protocol: 'TCP' },
      ...(profile.nixlTelemetry ? [{ name: 'nixl', containerPort: nixlTelemetryPort, protocol: 'TCP' }] : []),
    ],
    env: [
      { name: 'DYN_SYSTEM_ENABLED', value: 'true' },
      { name: 'DYN_SYSTEM_PORT', value: String(systemPort) },
      { name: 'DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS', value: '["generate"]' },
      { name: 'DYN_HEALTH_CHECK_ENABLED', value: String(profile.canaryHealthCheck) },
      ...(profile.nixlTelemetry
        ? [
            { name: 'NIXL_TELEMETRY_ENABLE', value: 'n' },
            { name: 'NIXL_TELEMETRY_EXPORTER', value: 'prometheus' },
            { name: 'NIXL_TELEMETRY_PROMETHEUS_PORT', value: String(nixlTelemetryPort) },
          ]
        : []),
    ],
    livenessProbe: { httpGet: { path: '/live', port: 'system' }, periodSeconds: 5, timeoutSeconds: 4, failureThreshold: profile.workerLivenessFailures },
    readinessProbe: { httpGet: { path: '/health', port: 'system' }, periodSeconds: 10, timeoutSeconds: 4, failureThreshold: 3 },
    // Two hours: loading a large model counts as starting.
    startupProbe: { httpGet: { path: '/live', port: 'system' }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 720 },
  };
}

/** The container that a component type starts from, before anything the user wrote. */
export function defaultContainer(componentType: string | undefined, profile: RuntimeProfile): Container {
  switch (componentKind(componentType)) {
    case 'frontend':
      return frontend(profile);
    case 'worker':
      return worker(profile);
    case 'other':
      return { name: 'main' };
  }
}
