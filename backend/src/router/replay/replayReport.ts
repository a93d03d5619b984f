import type { RouterMode } from '../../protocol/index.ts';
import type { Simulation } from './simulate.ts';

export interface Percentiles {
  mean: number;
  p50: number;
  p90: number;
  p99: number;
}

/** What Dynamo's replay reports, under names alike. Milliseconds. */
export interface ReplaySummary {
  mode: RouterMode;
  requests: number;
  refused: number;
  duration_s: number;
  output_tokens_per_s: number;
  /** Prompt tokens that came from the cache, of all. */
  prefix_reuse_ratio: number;
  ttft_ms: Percentiles;
  itl_ms: Percentiles;
  e2e_ms: Percentiles;
  /** Requests by worker. */
  by_worker: number[];
}

export function summarize({ mode, requests, refused }: Simulation, workers: number): ReplaySummary {
  const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
  const start = requests.reduce((least, { arrival }) => Math.min(least, arrival), Infinity);
  const end = requests.reduce((most, request) => Math.max(most, request.end), 0);
  const seconds = requests.length === 0 ? 0 : (end - start) / 1000;
  const outputTokens = sum(requests.map((request) => request.outputTokens));
  const inputTokens = sum(requests.map((request) => request.inputTokens));
  return {
    mode,
    requests: requests.length,
    refused,
    duration_s: seconds,
    output_tokens_per_s: seconds > 0 ? outputTokens / seconds : 0,
    prefix_reuse_ratio: inputTokens > 0 ? sum(requests.map(({ cachedTokens }) => cachedTokens)) / inputTokens : 0,
    ttft_ms: percentiles(requests.map(({ firstToken, arrival }) => firstToken - arrival)),
    itl_ms: percentiles(
      requests.filter((request) => request.outputTokens > 1).map((request) => (request.end - request.firstToken) / (request.outputTokens - 1)),
    ),
    e2e_ms: percentiles(requests.map((request) => request.end - request.arrival)),
    by_worker: Array.from({ length: workers }, (_, worker) => requests.filter((request) => request.worker === worker).length),
  };
}

function percentiles(values: number[]): Percentiles {
  if (values.length === 0) return { mean: 0, p50: 0, p90: 0, p99: 0 };
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
  return { mean: values.reduce((total, value) => total + value, 0) / values.length, p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

/** One line per mode. */
export function replayTable(summaries: readonly ReplaySummary[]): string {
  const head = ['mode', 'requests', 'reuse', 'TTFT mean', 'p50', 'p99 ms', 'ITL p50', 'p99 ms', 'tokens/s', 'by worker'];
  const rows = summaries.map(({ mode, requests, prefix_reuse_ratio, ttft_ms, itl_ms, output_tokens_per_s, by_worker }) => [
    mode,
    String(requests),
    prefix_reuse_ratio.toFixed(3),
    ttft_ms.mean.toFixed(1),
    ttft_ms.p50.toFixed(1),
    ttft_ms.p99.toFixed(1),
    itl_ms.p50.toFixed(2),
    itl_ms.p99.toFixed(2),
    output_tokens_per_s.toFixed(1),
    by_worker.length > 8 ? `${Math.min(...by_worker)}…${Math.max(...by_worker)}` : by_worker.join(' '),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  return [head, ...rows]
    .map((row) => row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '))
    .join('\n');
}

/** Bars per mode: prefix reuse, mean and p99 time to first token. Readable on light and dark ground. */
export function replaySvg(summaries: readonly ReplaySummary[]): string {
  const charts = [
    { title: 'prefix reuse (more is better)', value: (summary: ReplaySummary) => summary.prefix_reuse_ratio, text: (value: number) => value.toFixed(3) },
    { title: 'mean TTFT, ms (less is better)', value: (summary: ReplaySummary) => summary.ttft_ms.mean, text: (value: number) => value.toFixed(1) },
    { title: 'p99 TTFT, ms (less is better)', value: (summary: ReplaySummary) => summary.ttft_ms.p99, text: (value: number) => value.toFixed(1) },
  ];
  const [bar, label, width] = [22, 110, 640];
  const chartHeight = 34 + summaries.length * bar;
  const drawn = charts.map(({ title, value, text }, chart) => {
    const most = Math.max(...summaries.map(value), Number.MIN_VALUE);
    const top = chart * chartHeight;
    const bars = summaries.map((summary, i) => {
      const y = top + 30 + i * bar;
      const length = Math.round((value(summary) / most) * (width - label - 80));
      return (
        `<text x="${label - 8}" y="${y + 12}" text-anchor="end">${summary.mode}</text>` +
        `<rect x="${label}" y="${y}" width="${length}" height="${bar - 6}" rx="2" fill="${summary.mode === 'kv' ? '#76b900' : '#8a8f98'}"/>` +
        `<text x="${label + length + 6}" y="${y + 12}">${text(value(summary))}</text>`
      );
    });
    return `<text x="0" y="${top + 18}" font-weight="600">${title}</text>${bars.join('')}`;
  });
  const height = charts.length * chartHeight + 6;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#6b7280">${drawn.join('')}</svg>\n`;
}
