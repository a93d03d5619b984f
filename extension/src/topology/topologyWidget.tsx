import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type { ReactElement } from 'react';

import type { TopologyModel } from './topologyModel.ts';
import { TopologyView } from './TopologyView.tsx';

/** The live topology in the main area; its model rests while it cannot be seen. */
export class TopologyWidget extends ReactWidget {
  readonly #model: TopologyModel;

  constructor(model: TopologyModel) {
    super();
    this.#model = model;
    this.addClass('dl-Topology');
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.#model.dispose();
    super.dispose();
  }

  protected override render(): ReactElement {
    return <TopologyView model={this.#model} />;
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.#model.active = this.isVisible;
  }

  protected override onAfterShow(): void {
    this.#model.active = true;
  }

  protected override onAfterHide(): void {
    this.#model.active = false;
  }
}
