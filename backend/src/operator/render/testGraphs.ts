import type { DynamoComponentDeployment, DynamoGraphDeployment, ServiceSpec } from '../graphTypes.ts';
import type { OperatorOptions } from '../operatorOptions.ts';
import { component } from './component.ts';
import { componentContext, type ComponentContext } from './componentContext.ts';

/** Graphs for tests of the renderers. */
export const plainOptions: OperatorOptions = { discoveryBackend: 'kubernetes' };

const image = (tag: string): string => `nvcr.io/nvidia/ai-dynamo/vllm-runtime:${tag}`;

/** A frontend and two vLLM workers of one runtime release, with most of what the course's manifests use. */
export function demoGraph(tag: string): DynamoGraphDeployment {
  return {
    apiVersion: 'nvidia.com/v1alpha1',
    kind: 'DynamoGraphDeployment',
    metadata: { name: 'demo', namespace: 'dynamo', uid: '00000000-0000-0000-0000-000000000001', generation: 1 },
    spec: {
      services: {
        Frontend: { dynamoNamespace: 'demo-space', componentType: 'frontend', replicas: 1, extraPodSpec: { mainContainer: { image: image(tag) } } },
        VllmWorker: {
          dynamoNamespace: 'demo-space',
          componentType: 'worker',
          replicas: 2,
          envFromSecret: 'hf-token-secret',
          resources: { limits: { gpu: '1' } },
          envs: [{ name: 'DYN_LOG', value: 'info' }],
          extraPodSpec: {
            volumes: [{ name: 'local-model-cache', hostPath: { path: '/data/huggingface-cache', type: 'DirectoryOrCreate' } }],
            mainContainer: {
              image: image(tag),
              securityContext: { capabilities: { add: ['IPC_LOCK'] } },
              volumeMounts: [{ name: 'local-model-cache', mountPath: '/root/.cache' }],
              workingDir: '/workspace/components/backends/vllm',
              args: ['python3 -m dynamo.vllm --model Qwen/Qwen2.5-1.5B-Instruct'],
            },
          },
        },
      },
    },
  };
}

/** The component of one service, as if the API server had stored it. */
export function storedComponent(graph: DynamoGraphDeployment, service: string): DynamoComponentDeployment {
  const rendered = component(graph, service, graph.spec.services?.[service] ?? {});
  return { ...rendered, metadata: { ...rendered.metadata, uid: '00000000-0000-0000-0000-000000000002', generation: 1 } };
}

/** The context of a component made from one service spec. */
export function contextOf(spec: ServiceSpec, options: OperatorOptions = plainOptions): ComponentContext {
  const graph = demoGraph('0.8.0');
  return componentContext(storedComponent({ ...graph, spec: { services: { X: spec } } }, 'X'), options);
}
