import { LabIcon } from '@jupyterlab/ui-components';

const themed = 'class="jp-icon3 jp-icon-selectable" fill="#616161"';

/** Router in front of two workers. */
export const labsIcon = new LabIcon({
  name: 'dynamo-labs:labs',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path ${themed} d="M3 9h6v6H3zM15 3h6v6h-6zM15 15h6v6h-6zM9 11.200 15 6v2.600l-4.400 3.400 4.400 3.400V18l-6-5.200z"/></svg>`,
});

export const topologyIcon = new LabIcon({
  name: 'dynamo-labs:topology',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path ${themed} d="M12 2a3 3 0 0 1 1 5.800V10h5a1 1 0 0 1 1 1v3.200a3 3 0 1 1-2 0V12h-4v2.200a3 3 0 1 1-2 0V12H7v2.200a3 3 0 1 1-2 0V11a1 1 0 0 1 1-1h5V7.800A3 3 0 0 1 12 2z"/></svg>`,
});

export const checkStepIcon = new LabIcon({
  name: 'dynamo-labs:check',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path ${themed} d="M19 3H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2V5a2 2 0 0 0-2-2zm-9 14-5-5 1.400-1.400L10 14.200l7.600-7.600L19 8z"/></svg>`,
});
