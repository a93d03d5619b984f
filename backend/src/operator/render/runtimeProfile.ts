/** What the operator of a Dynamo release put into pods of that release; chosen by the runtime image's tag. */
export interface RuntimeProfile {
  /** First release of the profile. */
  since: '0.7' | '0.8' | '1.0' | '1.5';
  /** Missed liveness polls after which a worker is restarted: 1 until 1.5.0 (#8165, #13512). */
  workerLivenessFailures: number;
  /** `DYN_HEALTH_CHECK_ENABLED` of workers: on in the 0.7 days (#4804), off since (#5038). */
  canaryHealthCheck: boolean;
  /** Whether the service's own `dynamoNamespace` still names it in the pod label. */
  usesDynamoNamespaceField: boolean;
  /** NIXL's telemetry port and switches. */
  nixlTelemetry: boolean;
}

const profiles: { from: readonly [number, number]; profile: RuntimeProfile }[] = [
  { from: [1, 5], profile: { since: '1.5', workerLivenessFailures: 3, canaryHealthCheck: false, usesDynamoNamespaceField: false, nixlTelemetry: true } },
  { from: [1, 0], profile: { since: '1.0', workerLivenessFailures: 1, canaryHealthCheck: false, usesDynamoNamespaceField: false, nixlTelemetry: true } },
  { from: [0, 8], profile: { since: '0.8', workerLivenessFailures: 1, canaryHealthCheck: false, usesDynamoNamespaceField: false, nixlTelemetry: false } },
  { from: [0, 0], profile: { since: '0.7', workerLivenessFailures: 1, canaryHealthCheck: true, usesDynamoNamespaceField: true, nixlTelemetry: false } },
];

const defaultProfile = '0.8';

/** The version in an image's tag: `vllm-runtime:0.7.0.post1` → [0, 7]. Undefined for `latest`, a digest or no tag. */
export function imageVersion(image: string | undefined): [number, number] | undefined {
  const reference = image?.split('@')[0] ?? '';
  const tag = /:([^/:]+)$/.exec(reference)?.[1];
  const version = tag === undefined ? null : /^v?(\d+)\.(\d+)/.exec(tag);
  return version === null ? undefined : [Number(version[1]), Number(version[2])];
}

/** The profile of an image; an image without a version gets that of 0.8. */
export function runtimeProfile(image: string | undefined): RuntimeProfile {
  const version = imageVersion(image);
  const found = profiles.find(({ from, profile }) =>
    version === undefined ? profile.since === defaultProfile : version[0] > from[0] || (version[0] === from[0] && version[1] >= from[1]),
  );
  return (found ?? profiles[profiles.length - 1]!).profile;
}
