import { randomBytes } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

import express from 'express';
import type { Request, Response } from 'express';

import type { RoutingDecision } from '../../backend/src/protocol/decision.ts';
import type { CheckReport, LabEvent, LabSummary, StepSummary, TopologySnapshot } from '../../backend/src/protocol/lab.ts';
import { courseFixture, decisionFixture, failingReport, passingReport, topologyFixture } from './courseFixture.ts';

/** The backend's API with invented data: for tests of what stands in front of it (proxy, extension, kit). */
export class FakeBackend implements AsyncDisposable {
  readonly home: string;
  readonly token = randomBytes(16).toString('hex');
  labs: LabSummary[] = courseFixture();
  topology: TopologySnapshot = topologyFixture();
  decisions: RoutingDecision[] = [decisionFixture()];
  /** What notebooks handed in, by name. */
  readonly answers: Record<string, unknown> = {};
  /** What the next checks of a step find; the last one stays. */
  readonly outcomes = new Map<string, CheckReport[]>();
  /** Headers of each request that arrived, oldest first. */
  readonly seen: { method: string; path: string; headers: Record<string, unknown> }[] = [];
  readonly #events: { id: number; event: LabEvent }[] = [];
  readonly #streams = new Set<Response>();
  readonly #server = createServer(this.#app());
  #closed = 0;

  private constructor(home: string) {
    this.home = home;
  }

  /** Listens on `<home>/run/backend.sock` and writes `<home>/run/backend.json`. */
  static async start(home: string): Promise<FakeBackend> {
    const backend = new FakeBackend(home);
    const socket = path.join(home, 'run', 'backend.sock');
    await mkdir(path.dirname(socket), { recursive: true });
    await rm(socket, { force: true });
    await new Promise<void>((resolve) => backend.#server.listen(socket, resolve));
    await writeFile(path.join(home, 'run', 'backend.json'), JSON.stringify({ socket, token: backend.token }), { mode: 0o600 });
    return backend;
  }

  /** Open event streams now, and how many a reader has closed so far. */
  get streams(): { open: number; closed: number } {
    return { open: this.#streams.size, closed: this.#closed };
  }

  /** While set, the event stream is refused. */
  withoutEvents = false;

  /** Ends every open event stream, as a broken connection does. */
  dropStreams(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  publish(event: LabEvent): void {
    const id = this.#events.length + 1;
    this.#events.push({ id, event });
    for (const stream of this.#streams) writeEvent(stream, id, event);
  }

  step(lab: string, id: string): StepSummary {
    return this.labs.find((l) => l.id === lab)!.steps.find((s) => s.id === id)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#streams) stream.end();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #app(): express.Express {
    const app = express();
    app.use((request, response, next) => {
      this.seen.push({ method: request.method, path: request.originalUrl, headers: request.headers });
      if (request.headers.authorization === `Bearer ${this.token}`) return next();
      fail(response, 401, 'UNAUTHENTICATED', 'the token is missing or wrong');
    });
    app.get(
      '/api/status',
      (_request, response) =>
        void response.json({ cluster: { ready: true, version: 'v1.36.3', nodes: 1, podNet: 'namespaces' }, kubeconfig: '/dev/null', version: '0.1.0' }),
    );
    app.get('/api/labs', (_request, response) => void response.json(this.labs));
    app.get('/api/labs/:lab', (request, response) => {
      const lab = this.labs.find(({ id }) => id === request.params.lab);
      if (lab) response.json(lab);
      else fail(response, 404, 'UNKNOWN_LAB', `there is no lab ${request.params.lab}`);
    });
    app.post('/api/labs/:lab/steps/:step/answer', express.json(), (request, response) => {
      this.answers[request.body.name] = request.body.value;
      response.json(this.step(request.params.lab, request.params.step));
    });
    app.get('/api/labs/:lab/steps/:step/hints', (request, response) => {
      const { hintsShown } = this.step(request.params.lab, request.params.step);
      response.json(Array.from({ length: hintsShown }, (_, i) => hintText(i)));
    });
    app.post('/api/labs/:lab/reset', (request, response) => {
      this.labs = this.labs.map((lab) => (lab.id === request.params.lab ? courseFixture().find(({ id }) => id === lab.id)! : lab));
      this.publish({ type: 'reset', lab: request.params.lab });
      response.json(this.labs.find(({ id }) => id === request.params.lab));
    });
    app.post(
      '/api/labs/:lab/steps/:step/:action',
      (request: Request<{ lab: string; step: string; action: string }>, response) => void this.#act(request, response),
    );
    app.get('/api/topology', (_request, response) => void response.json(this.topology));
    app.get('/api/decisions', (_request, response) => void response.json(this.decisions));
    app.get('/api/events', (request, response) => this.#stream(request, response));
    return app;
  }

  async #act(request: Request<{ lab: string; step: string; action: string }>, response: Response): Promise<void> {
    const { lab, step: id, action } = request.params;
    const step = this.labs.find((l) => l.id === lab)?.steps.find((s) => s.id === id);
    if (!step) return fail(response, 404, 'UNKNOWN_STEP', `there is no step ${lab}/${id}`);
    const changed = (fields: Partial<StepSummary>): void => {
      Object.assign(step, fields);
      this.publish({ type: 'step', lab, step });
    };
    if (action === 'hints') {
      changed({ hintsShown: Math.min(step.hintsShown + 1, step.hintsTotal) });
      return void response.json({
        index: step.hintsShown - 1,
        total: step.hintsTotal,
        markdown: hintText(step.hintsShown - 1),
      });
    }
    if (action === 'solution') {
      changed({ solutionShown: true });
      return void response.json({ markdown: 'Apply the graph:\n\n```bash\nkubectl apply -f graph.yaml\n```' });
    }
    if (action === 'reset') {
      const fresh = courseFixture()
        .find((l) => l.id === lab)!
        .steps.find((s) => s.id === id)!;
      delete step.lastReport;
      delete step.passedAt;
      changed({ ...fresh, state: 'todo', attempts: 0, hintsShown: 0, solutionShown: false });
      return void response.json(this.labs.find((l) => l.id === lab));
    }
    if (step.state === 'running') return fail(response, 409, 'CHECK_RUNNING', 'a check of this step is running');
    changed({ state: 'running' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const planned = this.outcomes.get(id);
    const report = action === 'solve' ? passingReport(lab, id) : ((planned && planned.length > 1 ? planned.shift() : planned?.[0]) ?? failingReport(lab, id));
    const state = report.verdict === 'PASS' ? 'passed' : report.verdict === 'FAIL' ? 'failed' : 'error';
    changed({ state, attempts: step.attempts + 1, lastReport: report, ...(state === 'passed' ? { passedAt: report.startedAt } : {}) });
    this.publish({ type: 'report', report });
    response.json(report);
  }

  #stream(request: Request, response: Response): void {
    if (this.withoutEvents) return fail(response, 503, 'NO_EVENTS', 'no event stream today');
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write(': hello\n\n');
    const after = Number(request.headers['last-event-id'] ?? this.#events.length);
    for (const { id, event } of this.#events) if (id > after) writeEvent(response, id, event);
    this.#streams.add(response);
    response.on('close', () => {
      this.#streams.delete(response);
      this.#closed++;
    });
  }
}

function hintText(index: number): string {
  return `Look at \`kubectl get pods\` first (hint ${index + 1}).`;
}

function writeEvent(response: Response, id: number, event: LabEvent): void {
  response.write(`id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}

function fail(response: Response, status: number, code: string, message: string): void {
  response.status(status).json({ error: { code, message } });
}

/** An OpenAI-shaped frontend on loopback that streams `text` word by word. */
export async function startFakeFrontend(text: string): Promise<AsyncDisposable & { url: string }> {
  const app = express();
  app.use(express.json());
  app.post('/v1/chat/completions', (request, response) => {
    if (request.body.model === 'unknown')
      return void response.status(404).json({ error: { message: 'model `unknown` is not served', type: 'invalid_request_error' } });
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': String(request.headers['x-request-id'] ?? 'made-by-the-frontend') });
    for (const word of text.split(/(?<= )/)) response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: word } }] })}\n\n`);
    response.write(
      `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 96, completion_tokens: 4, total_tokens: 100, prompt_tokens_details: { cached_tokens: 80 } } })}\n\n`,
    );
    response.end('data: [DONE]\n\n');
  });
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
