import { describe, expect, it } from 'vitest';
import { instanceIdOfPod, randomInstanceId } from './instanceId.ts';
import { sipHash13 } from './sipHash.ts';

describe('sipHash13', () => {
  it('hashes the empty string as Rust does', () => {
    // `DefaultHasher::new().finish()` in Rust.
    expect(sipHash13(new Uint8Array())).toBe(15130871412783076140n);
  });

  it('depends on every byte and on the length', () => {
    const hashes = [[], [0], [0, 0], [1], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]].map((bytes) => sipHash13(Uint8Array.from(bytes)));
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});

describe('instance ids', () => {
  it('are stable per pod name and fit a JSON number', () => {
    const id = instanceIdOfPod('vllm-kv-demo-vllmworker-59589c4c59-qgmc4');
    expect(id).toBe(instanceIdOfPod('vllm-kv-demo-vllmworker-59589c4c59-qgmc4'));
    expect(id).not.toBe(instanceIdOfPod('vllm-kv-demo-vllmworker-59589c4c59-qgmc5'));
    expect(BigInt(Number(id))).toBe(id);
  });

  it('are random outside a pod', () => {
    expect(randomInstanceId()).not.toBe(randomInstanceId());
  });
});
