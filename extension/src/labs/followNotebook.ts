import type { INotebookTracker } from '@jupyterlab/notebook';

import type { LabsModel } from './labsModel.ts';
import { labOfNotebook, stepCells, stepOfCell } from './notebookLab.ts';

/** The panel shows the lab and step of the notebook cell that the learner is in. */
export function followNotebook(tracker: INotebookTracker, model: LabsModel): void {
  const follow = async (): Promise<void> => {
    const panel = tracker.currentWidget;
    if (!panel) return;
    await panel.context.ready;
    if (panel !== tracker.currentWidget) return;
    const lab = labOfNotebook(panel);
    if (lab !== undefined) model.select(lab, stepOfCell(panel, panel.content.activeCellIndex));
  };
  tracker.currentChanged.connect(() => void follow());
  tracker.activeCellChanged.connect(() => void follow());
}

/** Brings the first cell of a step into view where its notebook is open; returns whether it was. */
export function revealStep(tracker: INotebookTracker, lab: string, step: string): boolean {
  const panel = tracker.find((candidate) => labOfNotebook(candidate) === lab);
  const at = panel && stepCells(panel).get(step)?.first;
  if (panel === undefined || at === undefined) return false;
  if (stepOfCell(panel, panel.content.activeCellIndex) !== step) panel.content.activeCellIndex = at;
  void panel.content.scrollToItem(at, 'start').catch(() => undefined);
  return true;
}
