/** Checks and what runs them. Sees the cluster, metrics and HTTP only, so the same checks judge any Dynamo cluster. */
export { CheckContext, CheckStopped, type Answers, type AssertionInput } from './checkContext.ts';
export { ClusterError } from './clusterError.ts';
export { ClusterView, type K8sObject, type RawRequest, type RawResponse } from './clusterView.ts';
export { GraphClient, isReady, type ChatAnswer, type ChatRequest, type EventPlaneView, type RouterState, type WorkerState } from './graphClient.ts';
export { junit } from './junit.ts';
export type { Act, ActContext, Lab, LabYaml, WrongAnswer } from './labDefinition.ts';
export { lintLab } from './lintLab.ts';
export { LabInvalidError, loadLab, loadLabs, parseHints } from './loadLabs.ts';
export { parsePromText, sumOf, type Sample } from './promText.ts';
export { runCheck, type Check } from './runCheck.ts';
export { testLab, type PassResult } from './testLab.ts';
