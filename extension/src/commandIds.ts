/** Commands of this extension. All take optional `{lab, step}`; without them they mean the step at hand. */
export const commandIds = {
  showPanel: 'dynamo-labs:show-panel',
  openNotebook: 'dynamo-labs:open-notebook',
  checkStep: 'dynamo-labs:check-step',
  showHint: 'dynamo-labs:show-hint',
  showSolution: 'dynamo-labs:show-solution',
  solveStep: 'dynamo-labs:solve-step',
  resetStep: 'dynamo-labs:reset-step',
  resetLab: 'dynamo-labs:reset-lab',
  openTopology: 'dynamo-labs:open-topology',
} as const;
