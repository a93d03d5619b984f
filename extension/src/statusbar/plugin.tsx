import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { commandIds } from '../commandIds.ts';
import { labProgress } from '../labs/labProgress.ts';
import type { LabsModel } from '../labs/labsModel.ts';
import { StateIcon } from '../labs/StateIcon.tsx';
import { useSignal } from '../labs/useSignal.ts';
import { ILabs } from '../tokens.ts';

/** Cluster state and progress of the lab at hand, at the bottom. */
export const statusBarPlugin: JupyterFrontEndPlugin<void> = {
  id: '@dynamo-labs/extension:status',
  description: 'Cluster state and lab progress in the status bar.',
  autoStart: true,
  requires: [ILabs, IStatusBar],
  activate: (app: JupyterFrontEnd, model: LabsModel, statusBar: IStatusBar) => {
    const item = ReactWidget.create(<StatusItem model={model} commands={app.commands} />);
    item.addClass('dl-Status');
    statusBar.registerStatusItem('@dynamo-labs/extension:status', { item, align: 'left', rank: 100 });
  },
};

function StatusItem({ model, commands }: { model: LabsModel; commands: CommandRegistry }): ReactElement {
  useSignal(model.changed);
  const { cluster, selectedLab } = model;
  const progress = selectedLab && labProgress(selectedLab);
  const state = !model.loaded ? 'running' : cluster?.cluster.ready ? 'passed' : 'error';
  const words = !model.loaded
    ? 'asking'
    : cluster === undefined
      ? 'backend down'
      : cluster.cluster.ready
        ? 'cluster ready'
        : (cluster.cluster.message ?? 'cluster not ready');
  return (
    <button className="dl-Status-button" title="Show the Labs panel" onClick={() => void commands.execute(commandIds.showPanel)}>
      <StateIcon state={state} />
      <span>
        Labs: {words}
        {progress && ` · ${progress.passed}/${progress.total}`}
      </span>
    </button>
  );
}
