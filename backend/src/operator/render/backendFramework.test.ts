import { describe, expect, it } from 'vitest';
import { backendFramework } from './backendFramework.ts';

const worker = (...args: string[]): Parameters<typeof backendFramework>[0] => ({
  componentType: 'worker',
  extraPodSpec: { mainContainer: { command: ['/bin/sh', '-c'], args } },
});

describe('backendFramework', () => {
  it.each([
    ['python3 -m dynamo.vllm --model x', 'vllm'],
    ['python -u -m dynamo.sglang', 'sglang'],
    ['cd /x && python3.11 -m dynamo.trtllm', 'trtllm'],
    ['sleep 1', undefined],
  ])('%s → %s', (command, found) => {
    expect(backendFramework(worker(command), undefined)).toBe(found);
  });

  it('reads the words of command and args together', () => {
    expect(
      backendFramework({ componentType: 'decode', extraPodSpec: { mainContainer: { command: ['python3'], args: ['-m', 'dynamo.vllm'] } } }, undefined),
    ).toBe('vllm');
  });

  it('refuses two backends and a contradiction', () => {
    expect(() => backendFramework(worker('python3 -m dynamo.vllm & python3 -m dynamo.sglang'), undefined)).toThrow(
      'multiple backend frameworks detected from command: vllm, sglang',
    );
    expect(() => backendFramework(worker('python3 -m dynamo.vllm'), 'sglang')).toThrow(
      'backend framework mismatch: detected "vllm" from command but explicitly configured as "sglang"',
    );
  });
});
