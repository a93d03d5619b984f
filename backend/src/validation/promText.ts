/** One sample of the Prometheus text exposition format. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?\s*/y;
const escapes: Record<string, string> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' };

/** Parses text format 0.0.4; comments and malformed lines are passed over. */
export function parsePromText(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const row of text.split('\n')) {
    const match = row.startsWith('#') ? null : line.exec(row.trim());
    if (match === null) continue;
    const labels: Record<string, string> = {};
    label.lastIndex = 0;
    for (let pair = label.exec(match[2] ?? ''); pair !== null; pair = label.exec(match[2] ?? '')) {
      labels[pair[1] as string] = (pair[2] as string).replace(/\\[\\"n]/g, (escape) => escapes[escape] as string);
    }
    const number = match[3] as string;
    samples.push({ name: match[1] as string, labels, value: number === '+Inf' ? Infinity : number === '-Inf' ? -Infinity : Number(number) });
  }
  return samples;
}

/** The sum over all samples with this name and these labels; `undefined` when there is none, so that absence is not zero. */
export function sumOf(samples: Sample[], name: string, labels: Record<string, string> = {}): number | undefined {
  const found = samples.filter((sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value));
  return found.length === 0 ? undefined : found.reduce((sum, sample) => sum + sample.value, 0);
}
