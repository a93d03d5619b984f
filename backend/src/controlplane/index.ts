/** The local control plane: its programs, certificates, supervisor and state folder. */
export { kubernetesVersion, type KubernetesBinaries } from './components.ts';
export { type LocalStack, type LocalStackOptions, startLocalStack, type StackPart, type StackStep } from './localStack.ts';
export type { ProcessEvent } from './managedProcess.ts';
export { ProcessStartError } from './processError.ts';
export { projectDir, pythonBin } from './projectPaths.ts';
export { StackRunningError } from './stackLock.ts';
export { stateLayout, type StateLayout } from './stateLayout.ts';
export { readRecord, type SupervisorRecord } from './supervisorRecord.ts';
export { endSurvivors } from './survivors.ts';
