import type { Check } from '@dynamo-labs/backend/validation';
import { checkFirstRequest, checkSharedPrefix, checkSystemPrompt } from './checksCache.ts';
import { checkCost, checkLoad, checkNoTransfer, checkWorkloads } from './checksChoice.ts';
import { checkCapacity, checkDeploy, checkExpose } from './checksDeploy.ts';
import { checkNats, checkPublish } from './checksNats.ts';

export const checks: Record<string, Check> = {
  nats: checkNats,
  publish: checkPublish,
  deploy: checkDeploy,
  capacity: checkCapacity,
  expose: checkExpose,
  'first-request': checkFirstRequest,
  'shared-prefix': checkSharedPrefix,
  'system-prompt': checkSystemPrompt,
  cost: checkCost,
  load: checkLoad,
  workloads: checkWorkloads,
  'no-transfer': checkNoTransfer,
};
