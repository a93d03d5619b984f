import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { LabsApi } from '../api.ts';
import { commandIds } from '../commandIds.ts';
import type { LiveEvents } from '../live/liveEvents.ts';
import { ILabs, ILiveEvents } from '../tokens.ts';
import { addLabCommands } from './commands.ts';
import { followNotebook, revealStep } from './followNotebook.ts';
import { attachInlineChecks } from './inlineChecks.ts';
import { LabsModel } from './labsModel.ts';
import { LabsPanel } from './labsPanel.tsx';

/** The model, for every other plugin here. */
export const labsModelPlugin: JupyterFrontEndPlugin<LabsModel> = {
  id: '@dynamo-labs/extension:model',
  description: 'State of labs and steps.',
  autoStart: true,
  requires: [ILiveEvents],
  provides: ILabs,
  activate: (app: JupyterFrontEnd, live: LiveEvents) => new LabsModel(new LabsApi(app.serviceManager.serverSettings), live),
};

/** Panel, commands, palette and launcher. */
export const labsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@dynamo-labs/extension:labs',
  description: 'Labs panel: steps, checks, hints, solutions, reset.',
  autoStart: true,
  requires: [ILabs, IRenderMimeRegistry],
  optional: [INotebookTracker, ISettingRegistry, ICommandPalette, ILauncher, ILayoutRestorer, ILabShell],
  activate: (
    app: JupyterFrontEnd,
    model: LabsModel,
    rendermime: IRenderMimeRegistry,
    tracker: INotebookTracker | null,
    settings: ISettingRegistry | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
    shell: ILabShell | null,
  ) => {
    const panel = new LabsPanel({ model, commands: app.commands, rendermime });
    addLabCommands({ app, model, tracker, panelId: panel.id });
    app.shell.add(panel, 'left', { rank: 50 });
    restorer?.add(panel, panel.id);
    for (const [name, command] of Object.entries(commandIds)) if (name !== 'openTopology') palette?.addItem({ command, category: 'Dynamo Labs' });
    launcher?.add({ command: commandIds.showPanel, category: 'Dynamo Labs', rank: 0 });
    if (tracker) {
      followNotebook(tracker, model);
      model.changed.connect(() => app.commands.notifyCommandChanged(commandIds.checkStep));
      tracker.currentChanged.connect(() => app.commands.notifyCommandChanged(commandIds.checkStep));
    }
    let shown: string | undefined;
    model.changed.connect(() => {
      const [lab, step] = [model.selectedLab?.id, model.selectedStep?.id];
      const now = `${lab}/${step}`;
      if (now === shown) return;
      shown = now;
      if (tracker && lab !== undefined && step !== undefined && panel.node.contains(document.activeElement)) revealStep(tracker, lab, step);
    });
    void settings?.load('@dynamo-labs/extension:labs').then(async (loaded) => {
      if (loaded.get('openAtStart').composite !== true) return;
      await app.restored;
      shell?.activateById(panel.id);
    });
  },
};

/** Check rows in notebooks. */
export const inlineChecksPlugin: JupyterFrontEndPlugin<void> = {
  id: '@dynamo-labs/extension:inline-checks',
  description: 'Check rows below the cells of each step.',
  autoStart: true,
  requires: [ILabs, INotebookTracker],
  activate: (app: JupyterFrontEnd, model: LabsModel, tracker: INotebookTracker) => attachInlineChecks(tracker, model, app.commands),
};
