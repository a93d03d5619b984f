import type { NotebookPanel } from '@jupyterlab/notebook';

/** Which lab a notebook belongs to, from its metadata `dynamo_labs.lab`. Only read, never written. */
export function labOfNotebook(panel: NotebookPanel): string | undefined {
  return text(panel.content.model?.getMetadata('dynamo_labs'), 'lab');
}

/** Which step a cell belongs to, from its metadata `dynamo_labs.step`. */
export function stepOfCell(panel: NotebookPanel, index: number): string | undefined {
  return text(panel.content.widgets[index]?.model.getMetadata('dynamo_labs'), 'step');
}

/** Step id → index of its first and last cell, in notebook order. */
export function stepCells(panel: NotebookPanel): Map<string, { first: number; last: number }> {
  const steps = new Map<string, { first: number; last: number }>();
  panel.content.widgets.forEach((_, index) => {
    const step = stepOfCell(panel, index);
    if (step !== undefined) steps.set(step, { first: steps.get(step)?.first ?? index, last: index });
  });
  return steps;
}

function text(metadata: unknown, name: string): string | undefined {
  const value: unknown = typeof metadata === 'object' && metadata !== null ? (metadata as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' ? value : undefined;
}
