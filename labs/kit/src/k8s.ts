import { KitError } from './kitError';
import { shownAlready } from './rich';
import { run } from './sh';
import type { ShellResult } from './sh';

/** The part every Kubernetes object has; give `get` a type for more. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    creationTimestamp?: string;
  };
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
}

export interface KubeScope {
  /** Default: the kubeconfig's namespace. */
  namespace?: string;
}

export interface KubeWait extends KubeScope {
  /** As kubectl's `--for`, e.g. `condition=Ready`, `delete`, `jsonpath={.status.state}=successful`. */
  for: string;
  selector?: string;
  /** Default 120. */
  timeoutSeconds?: number;
}

/** The real kubectl, against the cluster of this course. Its output is printed; answers come back as objects. */
export const k8s = {
  /** Any kubectl command, e.g. `k8s.kubectl('get', 'pods', '-o', 'wide')`. */
  kubectl: (...args: string[]): Promise<ShellResult> => kubectl(args),

  /** Creates or changes what the YAML says, given as text or as the name of a `.yaml` file, and returns the objects as the API server has them. */
  apply: async (yamlOrFile: string, scope: KubeScope = {}): Promise<KubeObject[]> => {
    const isFile = /^[^\n]+\.ya?ml$/.test(yamlOrFile);
    const source = ['-f', isFile ? yamlOrFile : '-'];
    const input = isFile ? {} : { input: yamlOrFile };
    await kubectl(['apply', ...namespace(scope), ...source], input);
    const { stdout } = await kubectl(['get', ...namespace(scope), ...source, '-o', 'json'], { ...input, quiet: true });
    return shownAlready(items(JSON.parse(stdout)));
  },

  /** One object by name. `resource` as kubectl writes it: `pod`, `dynamographdeployment`, … */
  get: async <T extends KubeObject = KubeObject>(resource: string, name: string, scope: KubeScope = {}): Promise<T> => {
    const { stdout } = await kubectl(['get', resource, name, ...namespace(scope), '-o', 'json'], { quiet: true });
    return JSON.parse(stdout) as T;
  },

  list: async <T extends KubeObject = KubeObject>(resource: string, scope: KubeScope & { selector?: string } = {}): Promise<T[]> => {
    const { stdout } = await kubectl(['get', resource, ...namespace(scope), ...selector(scope.selector), '-o', 'json'], { quiet: true });
    return items(JSON.parse(stdout)) as T[];
  },

  /** Waits for a condition. `what` is `pod/name`, or a resource together with a selector. */
  wait: async (what: string, options: KubeWait): Promise<ShellResult> => {
    const seconds = options.timeoutSeconds ?? 120;
    const args = ['wait', what, ...namespace(options), ...selector(options.selector), `--for=${options.for}`, `--timeout=${seconds}s`];
    return await kubectl(args, { deadlineMs: (seconds + 10) * 1000 });
  },

  /** Deletes what the YAML names, or one object: `k8s.delete('pod', 'debug')`. Gone already is fine. */
  delete: async (yamlOrResource: string, name?: string, scope: KubeScope = {}): Promise<ShellResult> => {
    const common = [...namespace(scope), '--ignore-not-found'];
    if (name !== undefined) return await kubectl(['delete', yamlOrResource, name, ...common]);
    if (!yamlOrResource.includes(':'))
      throw new KitError('INVALID_ARGUMENT', `k8s.delete('${yamlOrResource}') needs a name as second argument, or YAML as its only one.`);
    return await kubectl(['delete', ...common, '-f', '-'], { input: yamlOrResource });
  },

  logs: async (pod: string, options: KubeScope & { container?: string; tail?: number } = {}): Promise<string> => {
    const args = [
      'logs',
      pod,
      ...namespace(options),
      ...(options.container ? ['-c', options.container] : []),
      ...(options.tail === undefined ? [] : [`--tail=${options.tail}`]),
    ];
    return (await kubectl(args, { quiet: true })).stdout;
  },
};

async function kubectl(args: string[], options: { input?: string; quiet?: boolean; deadlineMs?: number } = {}): Promise<ShellResult> {
  return await run('kubectl', args, `kubectl ${args.join(' ')}`, options);
}

function namespace({ namespace: name }: KubeScope): string[] {
  return name === undefined ? [] : ['-n', name];
}

function selector(labels: string | undefined): string[] {
  return labels === undefined ? [] : ['-l', labels];
}

function items(answer: KubeObject | { items: KubeObject[] }): KubeObject[] {
  return 'items' in answer ? answer.items : [answer];
}
