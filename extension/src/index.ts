import { inlineChecksPlugin, labsModelPlugin, labsPlugin } from './labs/plugin.ts';
import { livePlugin } from './live/plugin.ts';
import { statusBarPlugin } from './statusbar/plugin.tsx';
import { topologyPlugin } from './topology/plugin.ts';

/** Each can be disabled on its own. */
export default [livePlugin, labsModelPlugin, labsPlugin, inlineChecksPlugin, topologyPlugin, statusBarPlugin];
