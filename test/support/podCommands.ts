import type { Stack } from './stack.ts';

/** kubectl and pods of busybox on a test's stack, which may be started later. */
export function podCommands(stack: () => Stack) {
  const kubectl = (...args: string[]): Promise<string> => stack().kubectlOutput(args);

  async function apply(object: object): Promise<void> {
    await stack().kubectlOutput(['apply', '-f', '-'], { input: JSON.stringify(object) });
  }

  /** The loopback map has no file view of its own: what a pod writes has to be in a volume. */
  const scratch = { mount: { volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] }, volume: { volumes: [{ name: 'scratch', emptyDir: {} }] } };

  /** Applies a pod whose `main` container is busybox with these fields. */
  async function applyPod(name: string, main: object, spec: object = {}, metadata: object = {}): Promise<void> {
    await apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, ...metadata },
      spec: { containers: [{ name: 'main', image: 'busybox', ...scratch.mount, ...main }], ...scratch.volume, ...spec },
    });
  }

  function sh(script: string): { command: string[] } {
    return { command: ['/bin/sh', '-c', script] };
  }

  const path1 = (name: string, jsonpath: string): Promise<string> => kubectl('get', 'pod', name, '-o', `jsonpath=${jsonpath}`);
  const eventsOf = (name: string): Promise<string> =>
    kubectl('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'jsonpath={range .items[*]}{.reason}: {.message} x{.count}{"\\n"}{end}');
  const idle = 'while true; do sleep 0.2; done';

  return { kubectl, apply, applyPod, sh, path1, eventsOf, idle };
}
