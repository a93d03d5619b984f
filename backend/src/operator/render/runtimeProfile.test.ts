import { describe, expect, it } from 'vitest';
import { imageVersion, runtimeProfile } from './runtimeProfile.ts';

describe('runtimeProfile', () => {
  it.each([
    ['nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.7.0.post1', '0.7', 1, true],
    ['nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.7.1', '0.7', 1, true],
    ['vllm-runtime:0.8.0', '0.8', 1, false],
    ['vllm-runtime:v1.4.2', '1.0', 1, false],
    ['vllm-runtime:1.5.0', '1.5', 3, false],
    ['registry:5000/vllm-runtime:2.0@sha256:abc', '1.5', 3, false],
    ['registry:5000/vllm-runtime', '0.8', 1, false],
    ['vllm-runtime:latest', '0.8', 1, false],
    [undefined, '0.8', 1, false],
  ])('%s → %s', (image, since, failures, canary) => {
    expect(runtimeProfile(image)).toMatchObject({ since, workerLivenessFailures: failures, canaryHealthCheck: canary });
  });

  it('reads no version from a port', () => {
    expect(imageVersion('registry:5000/vllm-runtime')).toBeUndefined();
  });
});
