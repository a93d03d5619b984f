/** A graph that passed validation but cannot be turned into workloads; its text goes into the Ready condition. */
export class RenderError extends Error {
  readonly code = 'GRAPH_NOT_RENDERABLE';
  constructor(message: string) {
    super(message);
    this.name = 'RenderError';
  }
}
