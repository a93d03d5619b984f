import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import { labsIcon } from '../icons.ts';
import { LabsView } from './LabsView.tsx';
import type { LabsViewProps } from './LabsView.tsx';

/** The panel in the left area. */
export class LabsPanel extends ReactWidget {
  readonly #props: LabsViewProps;

  constructor(props: LabsViewProps) {
    super();
    this.#props = props;
    this.id = 'dynamo-labs-panel';
    this.addClass('dl-Panel');
    this.title.icon = labsIcon;
    this.title.caption = 'Labs: steps, checks and hints';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Labs');
  }

  protected override render(): ReactElement {
    const props = this.#props;
    return <LabsView {...props} />;
  }
}
