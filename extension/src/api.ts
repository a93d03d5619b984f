import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { CheckReport, ClusterStatus, LabSummary, TopologySnapshot } from './protocol.ts';

/** The backend, or Jupyter before it, refused or did not answer. `message` is meant for the learner. */
export class ApiError extends Error {
  readonly code: string;
  /** HTTP status; 0 when there was no answer at all. */
  readonly status: number;

  constructor(code: string, status: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ApiError';
    this.code = code;
    this.status = status;
  }
}

/** The backend's API through Jupyter's authenticated proxy. */
export class LabsApi {
  readonly #settings: ServerConnection.ISettings;

  constructor(settings: ServerConnection.ISettings) {
    this.#settings = settings;
  }

  status = (): Promise<ClusterStatus> => this.#call('status');
  labs = (): Promise<LabSummary[]> => this.#call('labs');
  topology = (): Promise<TopologySnapshot> => this.#call('topology');
  check = (lab: string, step: string): Promise<CheckReport> => this.#call(stepRoute(lab, step, 'check'), 'POST');
  solve = (lab: string, step: string): Promise<CheckReport> => this.#call(stepRoute(lab, step, 'solve'), 'POST');
  solution = (lab: string, step: string): Promise<{ markdown: string }> => this.#call(stepRoute(lab, step, 'solution'), 'POST');
  shownHints = (lab: string, step: string): Promise<string[]> => this.#call(stepRoute(lab, step, 'hints'));
  nextHint = (lab: string, step: string): Promise<{ index: number; total: number; markdown: string }> => this.#call(stepRoute(lab, step, 'hints'), 'POST');
  resetStep = (lab: string, step: string): Promise<LabSummary> => this.#call(stepRoute(lab, step, 'reset'), 'POST');
  resetLab = (lab: string): Promise<LabSummary> => this.#call(`labs/${encodeURIComponent(lab)}/reset`, 'POST');

  /** The open answer of the event stream; the caller reads its body. */
  async events(lastEventId: string | undefined, signal: AbortSignal): Promise<Response> {
    const headers = { Accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }) };
    return await this.#send('events', { headers, signal });
  }

  async #call<T>(route: string, method: 'GET' | 'POST' = 'GET'): Promise<T> {
    const response = await this.#send(route, { method, ...(method === 'POST' ? { body: '{}', headers: { 'Content-Type': 'application/json' } } : {}) });
    return (await response.json()) as T;
  }

  async #send(route: string, init: RequestInit): Promise<Response> {
    const url = URLExt.join(this.#settings.baseUrl, 'dynamo-labs', 'api', route);
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.#settings);
    } catch (cause) {
      throw new ApiError('NETWORK', 0, 'JupyterLab itself does not answer.', cause);
    }
    if (response.ok) return response;
    const body = (await response.json().catch(() => ({}))) as { error?: { code: string; message: string }; message?: string };
    throw new ApiError(body.error?.code ?? `HTTP_${response.status}`, response.status, body.error?.message ?? body.message ?? response.statusText);
  }
}

function stepRoute(lab: string, step: string, action: string): string {
  return `labs/${encodeURIComponent(lab)}/steps/${encodeURIComponent(step)}/${action}`;
}
