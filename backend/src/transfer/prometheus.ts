import type { TransferAgent } from './transferAgent.ts';

const bucketLimits = ['0.0001', '0.001', '0.01', '0.1', '1', '10', '+Inf'];

/** The agent's counters as Prometheus text, names `dynamo_labs_kv_transfer_*`, label `agent`. */
export function transferMetrics(agent: TransferAgent): string {
  const m = agent.native.metrics();
  const lines: string[] = [];
  const name = (metric: string) => `dynamo_labs_kv_transfer_${metric}`;
  const family = (metric: string, type: 'counter' | 'gauge' | 'histogram', help: string) =>
    lines.push(`# HELP ${name(metric)} ${help}`, `# TYPE ${name(metric)} ${type}`);
  const sample = (metric: string, value: number, labels: Record<string, string> = {}) => {
    const all = Object.entries({ agent: agent.name, ...labels }).map(([key, text]) => `${key}="${text.replaceAll(/["\\\n]/g, '_')}"`);
    lines.push(`${name(metric)}{${all.join(',')}} ${value}`);
  };
  const one = (metric: string, help: string, value: number, type: 'counter' | 'gauge' = 'counter') => {
    family(metric, type, help);
    sample(metric, value);
  };
  const labelled = (metric: string, help: string, label: string, values: Record<string, number>) => {
    family(metric, 'counter', help);
    for (const [key, value] of Object.entries(values)) sample(metric, value, { [label]: key });
  };
  labelled('read_bytes_total', 'Verified bytes read, by the transport that carried them.', 'transport', m.bytesRead);
  one('served_bytes_total', 'Bytes sent to readers over sockets.', m.bytesServed);
  family('transfers_total', 'counter', 'Transfers that have settled, by selected transport and result.');
  for (const [transport, codes] of Object.entries(m.transfers))
    for (const [code, count] of Object.entries(codes)) sample('transfers_total', count, { transport, result: code });
  labelled('fallbacks_total', 'Transports given up for the next one.', 'from', m.fallbacks);
  family('duration_seconds', 'histogram', 'From the call until it settled.');
  let cumulative = 0;
  m.durationBuckets.forEach((count, index) => sample('duration_seconds_bucket', (cumulative += count), { le: bucketLimits[index] ?? '+Inf' }));
  sample('duration_seconds_sum', m.durationUsSum / 1e6);
  sample('duration_seconds_count', m.durationCount);
  one('retries_total', 'Connections lost under a transfer.', m.retries);
  one('resumed_bytes_total', 'Bytes that were still missing when a transfer went on after a lost connection.', m.resumedBytes);
  one('checksum_failures_total', 'Chunks that did not match their checksum and were asked for again.', m.checksumFailures);
  one('credit_stalls_total', 'Times a reader had to wait for its window.', m.creditStalls);
  one('inline_reads_total', 'Small reads copied on the calling thread.', m.inlineReads);
  one('notifications_sent_total', 'Notifications sent.', m.notificationsSent);
  one('notifications_received_total', 'Notifications delivered.', m.notificationsReceived);
  one('notifications_repeated_total', 'Notifications that came again and were not delivered twice.', m.notificationsRepeated);
  one('leases_granted_total', 'Grants given.', m.leasesGranted);
  one('leases_renewed_total', 'Renewals by readers.', m.leasesRenewed);
  one('leases_live', 'Grants that have not ended.', m.leasesLive, 'gauge');
  labelled('leases_ended_total', 'Grants that have ended, by how.', 'end', m.leasesEnded);
  labelled('refused_total', 'Peers turned away, by reason.', 'reason', m.refused);
  return `${lines.join('\n')}\n`;
}
