import { hostname } from 'node:os';
import type { Logger } from '../../observability/index.ts';
import { eventPlanes, type EventPlane, type EventPlaneKind } from './eventPlane.ts';
import { NatsEventPlane } from './natsEventPlane.ts';
import { ZmqEventPlane } from './zmqEventPlane.ts';

export interface CreateEventPlaneOptions {
  kind: EventPlaneKind;
  publisher: boolean;
  namespace: string;
  component: string;
  logger: Logger;
  env?: NodeJS.ProcessEnv;
}

/** `DYN_EVENT_PLANE`, else NATS where `NATS_SERVER` is set, else ZeroMQ. */
export function eventPlaneKind(requested: string | undefined, env: NodeJS.ProcessEnv = process.env): EventPlaneKind {
  const asked = requested ?? env['DYN_EVENT_PLANE'];
  if (asked === undefined || asked === '' || asked === 'auto') return (env['NATS_SERVER'] ?? '') === '' ? 'zmq' : 'nats';
  const kind = eventPlanes.find((known) => known === asked);
  if (kind === undefined) throw new RangeError(`event plane "${asked}" is not one of ${eventPlanes.join(', ')}`);
  return kind;
}

export async function createEventPlane(options: CreateEventPlaneOptions): Promise<EventPlane> {
  const { kind, publisher, namespace, component, env = process.env } = options;
  const logger = options.logger.child('dynamo_runtime::transports::event_plane');
  if (kind === 'zmq') return ZmqEventPlane.open({ host: env['DYN_TCP_RPC_HOST'] ?? env['POD_IP'] ?? '127.0.0.1', publisher, logger });
  const user = env['NATS_AUTH_USERNAME'];
  const password = env['NATS_AUTH_PASSWORD'];
  return new NatsEventPlane({
    server: env['NATS_SERVER'] ?? 'nats://localhost:4222',
    name: env['POD_NAME'] ?? hostname(),
    subjectPrefix: `namespace.${token(namespace)}.component.${token(component)}`,
    logger,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  });
}

/** One token of a NATS subject: dots, wildcards and blanks would mean something else there. */
function token(text: string): string {
  return text.replaceAll(/[.*>\s]/g, '-');
}
