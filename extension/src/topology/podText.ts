import type { StepState } from '../protocol.ts';
import type { PodView } from '../protocol.ts';

/** The pod's state in the words of `kubectl get pods`. */
export function podStateText(pod: PodView): string {
  if (pod.ready) return 'Ready';
  return pod.reason ?? (pod.phase === 'Running' ? 'Not ready' : pod.phase);
}

/** The icon that goes with it: broken pods look different from those still coming up. */
export function podIcon(pod: PodView): StepState {
  if (pod.ready) return 'passed';
  const broken = pod.phase === 'Failed' || /BackOff|Err|Invalid|Error|OOMKilled/.test(pod.reason ?? '');
  return broken ? 'error' : 'running';
}

/** `…-7d4b9c6f8-8qz5m`: what tells pods of one component apart. */
export function shortPodName(name: string): string {
  const parts = name.split('-');
  return parts.length > 3 ? `…${parts.slice(-2).join('-')}` : name;
}

/** `12 blocks · 4.4 MB`: KV that went from a prefill to a decode pod. */
export function transferText({ blocks, bytes }: { blocks: number; bytes: number }): string {
  const megabytes = bytes / 1e6;
  return `${blocks} blocks · ${megabytes < 10 ? megabytes.toFixed(1) : Math.round(megabytes)} MB`;
}
