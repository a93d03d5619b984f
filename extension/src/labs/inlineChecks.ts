import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { Debouncer } from '@lumino/polling';
import type { CommandRegistry } from '@lumino/commands';
import type { PanelLayout } from '@lumino/widgets';

import { InlineCheckRow } from './inlineCheckRow.tsx';
import type { LabsModel } from './labsModel.ts';
import { labOfNotebook, stepCells } from './notebookLab.ts';

/** Puts a check row below the last cell of each step of every lab notebook; follows cells that come, go or move. */
export function attachInlineChecks(tracker: INotebookTracker, model: LabsModel, commands: CommandRegistry): void {
  tracker.widgetAdded.connect((_, panel) => void attachTo(panel, model, commands));
}

async function attachTo(panel: NotebookPanel, model: LabsModel, commands: CommandRegistry): Promise<void> {
  await panel.context.ready;
  const lab = labOfNotebook(panel);
  if (lab === undefined || panel.isDisposed) return;
  const rows = new Map<string, InlineCheckRow>();
  const place = async (): Promise<void> => {
    const cells = stepCells(panel);
    for (const [step, row] of rows) if (row.isDisposed || !cells.has(step)) rows.delete(step);
    for (const [step, { last }] of cells) {
      const cell = panel.content.widgets[last]!;
      // Cells initialise when they come into view; before that a row would land above the input.
      void cell.ready.then(() => {
        if (cell.isDisposed || stepCells(panel).get(step)?.last !== panel.content.widgets.indexOf(cell)) return;
        const old = rows.get(step);
        if (old && !old.isDisposed && old.parent === cell) return;
        old?.dispose();
        const row = new InlineCheckRow({ model, commands, lab, step });
        rows.set(step, row);
        (cell.layout as PanelLayout).addWidget(row);
      });
    }
  };
  const later = new Debouncer(place, 100);
  panel.content.model?.cells.changed.connect(() => void later.invoke());
  panel.disposed.connect(() => later.dispose());
  await place();
}
