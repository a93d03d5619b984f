/** What lab notebooks import. Everything asks the backend or the cluster; nothing is kept here. */
export { chat, ChatAnswer } from './chat';
export type { ChatOptions, ChatUsage } from './chat';
export { CheckResult } from './checkResult';
export { DecisionView } from './decisionView';
export { k8s } from './k8s';
export type { KubeObject, KubeScope, KubeWait } from './k8s';
export { KitError } from './kitError';
export { lab, LabOverview, LabStep, LabText } from './lab';
export { display, Picture, Rich } from './rich';
export type { MimeBundle } from './rich';
export { router } from './router';
export type { DecisionScope } from './router';
export { sh, ShellError, ShellResult } from './sh';
export type { ShellOptions } from './sh';
export { show } from './show';
export type { RoutingDecision } from '../../../backend/src/protocol/decision';
export type { Assertion, CheckReport, Evidence, LabSummary, StepSummary, TopologySnapshot, Verdict } from '../../../backend/src/protocol/lab';
