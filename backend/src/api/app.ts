import { createHash, timingSafeEqual } from 'node:crypto';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { z } from 'zod';
import type { ClusterView } from '../validation/index.ts';
import { ApiError } from './apiError.ts';
import { clusterStatus, graphDecisions } from './clusterStatus.ts';
import type { EventStream } from './eventStream.ts';
import type { LabService } from './labService.ts';
import { topologySnapshot } from './topology.ts';

export interface AppOptions {
  token: string;
  version: string;
  kubeconfig: string;
  labs: LabService;
  cluster: ClusterView;
  events: EventStream;
}

const answerBody = z.strictObject({ name: z.string().min(1).max(100), value: z.unknown() });
const decisionsQuery = z.object({
  namespace: z.string().min(1).optional(),
  graph: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});

/** The backend's HTTP API (shapes: protocol/lab.ts). Every request needs the bearer token. */
export function createApp(options: AppOptions): Express {
  const { labs, cluster, events } = options;
  const app = express();
  app.disable('x-powered-by');
  app.use(authenticate(options.token));
  app.use(express.json({ limit: '256kb' }));

  app.get('/api/status', async (_request, response) => {
    response.json({ version: options.version, kubeconfig: options.kubeconfig, cluster: await clusterStatus(cluster) });
  });
  app.get('/api/labs', (_request, response) => void response.json(labs.list()));
  app.get('/api/labs/:lab', (request, response) => void response.json(labs.get(request.params.lab)));
  app.post('/api/labs/:lab/reset', async (request, response) => void response.json(await labs.reset(request.params.lab)));
  const step = '/api/labs/:lab/steps/:step';
  app.post(`${step}/check`, async (request, response) => void response.json(await labs.check(...ids(request))));
  app.post(`${step}/solve`, async (request, response) => void response.json(await labs.solve(...ids(request))));
  app.post(`${step}/hints`, (request, response) => void response.json(labs.hint(...ids(request))));
  app.get(`${step}/hints`, (request, response) => void response.json(labs.shownHints(...ids(request))));
  app.post(`${step}/solution`, (request, response) => void response.json(labs.solution(...ids(request))));
  app.post(`${step}/reset`, async (request, response) => void response.json(await labs.reset(...ids(request))));
  app.post(`${step}/answer`, (request, response) => {
    const { name, value } = parse(answerBody, request.body);
    response.json(labs.answer(...ids(request), name, value));
  });
  app.get('/api/topology', async (_request, response) => void response.json(await topologySnapshot(cluster)));
  app.get('/api/decisions', async (request, response) => {
    const { namespace, graph, limit } = parse(decisionsQuery, request.query);
    response.json(await graphDecisions(cluster, { limit, ...(namespace !== undefined && { namespace }), ...(graph !== undefined && { graph }) }));
  });
  app.get('/api/events', (request, response) => events.connect(request, response, () => labs.snapshot()));

  app.use((request: Request) => {
    throw new ApiError(404, 'NOT_FOUND', `There is no ${request.method} ${request.path}.`);
  });
  app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error);
    const { status, code, message } = describe(error);
    if (status >= 500) console.error(`${code}: ${message}`);
    response.status(status).json({ error: { code, message } });
  });
  return app;
}

function ids(request: Request): [string, string] {
  return [String(request.params['lab']), String(request.params['step'])];
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ApiError(400, 'BAD_REQUEST', parsed.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`).join('; '));
}

function describe(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  // body-parser's errors (malformed JSON, too large) carry a 4xx status.
  const status = (error as { status?: unknown }).status;
  if (typeof status === 'number' && status >= 400 && status < 500) return { status, code: 'BAD_REQUEST', message };
  const code = (error as { code?: unknown }).code;
  return code === 'CLUSTER_UNREACHABLE' ? { status: 502, code, message } : { status: 500, code: 'INTERNAL', message };
}

function authenticate(token: string) {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(`Bearer ${token}`);
  return (request: Request, response: Response, next: NextFunction): void => {
    if (timingSafeEqual(digest(request.headers.authorization ?? ''), expected)) next();
    else response.status(401).json({ error: { code: 'UNAUTHORIZED', message: 'A bearer token is needed: it is in run/backend.json of the state folder.' } });
  };
}
