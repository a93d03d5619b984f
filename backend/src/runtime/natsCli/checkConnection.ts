import { createInbox, type NatsConnection } from 'nats';

/** Plugin exit codes of Nagios, which the real tool uses here. */
export const checkStatus = { ok: 0, critical: 2 } as const;

/** Connects, measures the round trip to the server, and sends itself one message; the line is worded as the real tool's. */
export async function checkConnection(open: () => Promise<NatsConnection>): Promise<{ line: string; exitCode: number }> {
  let connection: NatsConnection | undefined;
  try {
    const begin = performance.now();
    connection = await open();
    const connected = performance.now();
    await connection.flush();
    const before = performance.now();
    await sendToSelf(connection);
    const took = [connected - begin, before - connected, performance.now() - before].map((ms) => ms / 1000) as [number, number, number];
    const [connectTime, rtt, requestTime] = took.map((seconds) => `${seconds.toFixed(4)}s`);
    const words = `OK:connected to nats://${connection.getServer()} in ${connectTime} OK:rtt time ${rtt} OK:round trip took ${requestTime}`;
    const figures = `connect_time=${connectTime};0.5000;1.0000 rtt=${rtt};0.5000;1.0000 request_time=${requestTime};0.5000;1.0000`;
    return { line: `OK Connection ${words} | ${figures}`, exitCode: checkStatus.ok };
  } catch (error) {
    return { line: `CRITICAL Connection Crit:connection failed: ${(error as Error).message}`, exitCode: checkStatus.critical };
  } finally {
    if (connection !== undefined && !connection.isClosed()) await connection.close();
  }
}

async function sendToSelf(connection: NatsConnection): Promise<void> {
  const inbox = createInbox();
  const subscription = connection.subscribe(inbox, { max: 1, timeout: 2_000 });
  connection.publish(inbox, 'ping');
  for await (const _ of subscription) return;
  throw new Error('the message did not come back');
}
