import path from 'node:path';
import { createFakeNode } from './fakeKubelet.ts';
import { type OperatorProcess, startOperator } from './operatorProcess.ts';
import { type Stack, startStack } from './stack.ts';

/** The manifests that the course ships. */
export const assets = path.resolve(import.meta.dirname, '../../assets');

export interface OperatorStack {
  readonly stack: Stack;
  readonly operator: OperatorProcess;
  /** kubectl that must succeed; its standard output. */
  kubectl(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

/** A control plane with the platform's manifests, one node that runs nothing, and the operator as a process beside it instead of its Deployment. */
export async function startOperatorStack(): Promise<OperatorStack> {
  const stack = await startStack({ components: ['controlplane'] });
  const kubectl = async (...args: string[]): Promise<string> => (await stack.kubectlOutput(args)).trim();
  let node: Disposable | undefined;
  try {
    node = await createFakeNode(stack.kube, 'fake', 8);
    await kubectl('apply', '--server-side', '-f', path.join(assets, 'platform'));
    await kubectl('scale', 'deployment', '-n', 'dynamo-system', 'dynamo-platform-dynamo-operator-controller-manager', '--replicas=0');
    await kubectl('create', 'namespace', 'dynamo');
    const operator = await startOperator(stack);
    const close = async (): Promise<void> => {
      await operator.stop();
      node?.[Symbol.dispose]();
      await stack.close();
    };
    return { stack, operator, kubectl, close };
  } catch (error) {
    node?.[Symbol.dispose]();
    await stack.close();
    throw error;
  }
}
