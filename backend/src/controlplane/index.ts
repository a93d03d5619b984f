/** The local control plane: its programs, certificates, supervisor and state folder. */
export { resolveKubernetes } from './components.ts';
export { kubernetesVersion, type KubernetesBinaries } from './kubernetesPrograms.ts';
export { type LocalStack, type LocalStackOptions, startLocalStack, type StackPart } from './localStack.ts';
export { PortBusyError } from './freePort.ts';
export type { ProcessEvent } from './managedProcess.ts';
export { ProcessStartError } from './processError.ts';
export { nodeArgv, projectDir, pythonBin } from './projectPaths.ts';
export { identityOf, isAlive } from './processIdentity.ts';
export { StackRunningError } from './stackLock.ts';
export { type StackStep, timed } from './stackStep.ts';
export { stateLayout, type StateLayout } from './stateLayout.ts';
export { readRecord, type SupervisorRecord } from './supervisorRecord.ts';
export { endSurvivors } from './survivors.ts';
