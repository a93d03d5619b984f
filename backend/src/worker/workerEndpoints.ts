import { z } from 'zod';
import type { LlmEngine } from '../engine/index.ts';
import { endpointNames, HandlerError, type RequestPlaneServer } from '../runtime/index.ts';
import { fetchEndpoint, type NixlConnector } from './kvTransfer/index.ts';

const release = z.object({ remote_request_id: z.string().min(1) });

/** Serves what a worker offers beside `generate` and events, and returns where. */
export function serveAdministration(server: RequestPlaneServer, engine: LlmEngine, connector: NixlConnector | undefined): Record<string, { tcp: string }> {
  const transport = { tcp: server.address };
  server.serve(endpointNames.clearKvBlocks, async function* () {
    yield { status: 'success', cleared_blocks: await engine.clearPrefixCache() };
  });
  if (connector === undefined) return { [endpointNames.clearKvBlocks]: transport };
  server.serve(endpointNames.releaseKvBlocks, async function* (payload) {
    const parsed = release.safeParse(payload);
    if (!parsed.success) throw new HandlerError('BAD_REQUEST', z.prettifyError(parsed.error), { refused: true });
    yield { released: connector.cancel(parsed.data.remote_request_id) };
  });
  server.serve(endpointNames.fetchKvBlocks, fetchEndpoint(engine, connector));
  return { [endpointNames.clearKvBlocks]: transport, [endpointNames.releaseKvBlocks]: transport, [endpointNames.fetchKvBlocks]: transport };
}
