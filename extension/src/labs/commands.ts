import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { commandIds } from '../commandIds.ts';
import { checkStepIcon, labsIcon } from '../icons.ts';
import type { LabsModel, StepRef } from './labsModel.ts';
import { labOfNotebook } from './notebookLab.ts';

const stepArgs = {
  args: {
    type: 'object',
    properties: { lab: { type: 'string', description: 'Lab id' }, step: { type: 'string', description: 'Step id' } },
  },
} as const;

/** What the commands act on besides the labs themselves. */
export interface CommandContext {
  app: JupyterFrontEnd;
  model: LabsModel;
  tracker: INotebookTracker | null;
  panelId: string;
}

export function addLabCommands({ app, model, tracker, panelId }: CommandContext): void {
  const target = (args: ReadonlyPartialJSONObject): StepRef | undefined => {
    const lab = typeof args['lab'] === 'string' ? args['lab'] : model.selectedLab?.id;
    const step = typeof args['step'] === 'string' ? args['step'] : model.selectedStep?.id;
    return lab === undefined || step === undefined ? undefined : { lab, step };
  };
  const addStepCommand = (id: string, label: string, run: (ref: StepRef) => Promise<unknown>): void => {
    app.commands.addCommand(id, {
      label,
      describedBy: stepArgs,
      isEnabled: (args) => target(args) !== undefined,
      execute: async (args) => {
        const ref = target(args);
        if (ref) await run(ref).catch((error: Error) => void Notification.error(error.message));
      },
    });
  };

  app.commands.addCommand(commandIds.showPanel, {
    label: 'Dynamo Labs',
    caption: 'Labs with live checks',
    icon: labsIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    execute: () => app.shell.activateById(panelId),
  });
  app.commands.addCommand(commandIds.openNotebook, {
    label: 'Open Lab Notebook',
    describedBy: stepArgs,
    isEnabled: (args) => typeof args['lab'] === 'string' || model.selectedLab !== undefined,
    execute: async (args) => {
      const lab = model.labs.find(({ id }) => id === (args['lab'] ?? model.selectedLab?.id));
      if (lab) await app.commands.execute('docmanager:open', { path: lab.notebook });
    },
  });
  app.commands.addCommand(commandIds.checkStep, {
    label: 'Check Step',
    caption: 'Look at the live cluster: is this step done?',
    icon: checkStepIcon,
    describedBy: stepArgs,
    isEnabled: (args) => target(args) !== undefined,
    isVisible: () => tracker?.currentWidget != null && labOfNotebook(tracker.currentWidget) !== undefined,
    execute: async (args) => {
      const ref = target(args);
      if (ref) return (await model.check(ref).catch((error: Error) => void Notification.error(error.message))) ?? null;
      return null;
    },
  });
  addStepCommand(commandIds.showHint, 'Show Next Hint', async (ref) => {
    await model.showHint(ref);
    model.select(ref.lab, ref.step);
    app.shell.activateById(panelId);
  });
  addStepCommand(commandIds.showSolution, 'Show Solution', (ref) => model.showSolution(ref));
  addStepCommand(commandIds.solveStep, 'Solve Step for Me', async (ref) => {
    const step = model.step(ref);
    const text = 'The solution runs against your cluster and is recorded as shown. What you made for this step may be replaced.';
    if (await confirmed(`Solve “${step?.title ?? ref.step}”?`, text, 'Solve')) await model.solve(ref);
  });
  addStepCommand(commandIds.resetStep, 'Reset Step', async (ref) => {
    const step = model.step(ref);
    const text = 'What this step made in the cluster is removed, and its checks, hints and attempts are forgotten. Your notebook stays as it is.';
    if (await confirmed(`Reset “${step?.title ?? ref.step}”?`, text, 'Reset')) await model.resetStep(ref);
  });
  app.commands.addCommand(commandIds.resetLab, {
    label: 'Reset Lab',
    describedBy: stepArgs,
    isEnabled: (args) => typeof args['lab'] === 'string' || model.selectedLab !== undefined,
    execute: async (args) => {
      const lab = model.labs.find(({ id }) => id === (args['lab'] ?? model.selectedLab?.id));
      const text = 'Everything that this lab made in the cluster is removed, and its progress is forgotten. Your notebook stays as it is.';
      if (lab && (await confirmed(`Reset “${lab.title}”?`, text, 'Reset')))
        await model.resetLab(lab.id).catch((error: Error) => void Notification.error(error.message));
    },
  });
}

async function confirmed(title: string, body: string, label: string): Promise<boolean> {
  const { button } = await showDialog({ title, body, buttons: [Dialog.cancelButton(), Dialog.warnButton({ label })], defaultButton: 0 });
  return button.accept;
}
