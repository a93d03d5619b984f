import { ILayoutRestorer } from '@jupyterlab/application';
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';

import { LabsApi } from '../api.ts';
import { commandIds } from '../commandIds.ts';
import { topologyIcon } from '../icons.ts';
import type { LiveEvents } from '../live/liveEvents.ts';
import { ILiveEvents } from '../tokens.ts';
import { TopologyModel } from './topologyModel.ts';
import { TopologyWidget } from './topologyWidget.tsx';

export const topologyPlugin: JupyterFrontEndPlugin<void> = {
  id: '@dynamo-labs/extension:topology',
  description: 'Live topology: graphs, pods, requests and cached blocks.',
  autoStart: true,
  requires: [ILiveEvents],
  optional: [ICommandPalette, ILauncher, ILayoutRestorer],
  activate: (app: JupyterFrontEnd, live: LiveEvents, palette: ICommandPalette | null, launcher: ILauncher | null, restorer: ILayoutRestorer | null) => {
    const tracker = new WidgetTracker<MainAreaWidget<TopologyWidget>>({ namespace: 'dynamo-labs-topology' });
    app.commands.addCommand(commandIds.openTopology, {
      label: 'Live Topology',
      caption: 'Graphs, pods, requests and cached blocks as they are now',
      icon: topologyIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        let widget = tracker.currentWidget;
        if (!widget || widget.isDisposed) {
          widget = new MainAreaWidget({ content: new TopologyWidget(new TopologyModel(new LabsApi(app.serviceManager.serverSettings), live)) });
          widget.id = 'dynamo-labs-topology';
          widget.title.label = 'Topology';
          widget.title.icon = topologyIcon;
          widget.title.closable = true;
          widget.toolbar.hide();
        }
        if (!widget.isAttached) app.shell.add(widget, 'main', { mode: 'split-right' });
        if (!tracker.has(widget)) await tracker.add(widget);
        app.shell.activateById(widget.id);
      },
    });
    palette?.addItem({ command: commandIds.openTopology, category: 'Dynamo Labs' });
    launcher?.add({ command: commandIds.openTopology, category: 'Dynamo Labs', rank: 1 });
    if (restorer) void restorer.restore(tracker, { command: commandIds.openTopology, name: () => 'topology' });
  },
};
