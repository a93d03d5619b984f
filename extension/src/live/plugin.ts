import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { LabsApi } from '../api.ts';
import { ILiveEvents } from '../tokens.ts';
import { LiveEvents } from './liveEvents.ts';

export const livePlugin: JupyterFrontEndPlugin<LiveEvents> = {
  id: '@dynamo-labs/extension:live',
  description: 'One stream of live events from the backend for all views.',
  autoStart: true,
  provides: ILiveEvents,
  activate: (app: JupyterFrontEnd) => new LiveEvents(new LabsApi(app.serviceManager.serverSettings)),
};
