import type { Figure } from './figure.ts';

/** Ratios to the peer of the same run as bars, goals as marks. Self-contained SVG. */
export function transferPlot(figures: Figure[]): string {
  const rows = figures.filter((figure) => figure.ratio !== undefined);
  const width = 760;
  const left = 400;
  const scale = (width - left - 60) / Math.max(1.2, ...rows.map((row) => row.ratio ?? 0));
  const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const bars = rows.map((row, index) => {
    const y = 40 + index * 26;
    const ratio = row.ratio ?? 0;
    const goal = Number(/[\d.]+/.exec(row.goal ?? '')?.[0] ?? Number.NaN);
    const mark = Number.isNaN(goal) ? '' : `<path d="M${left + goal * scale} ${y - 3}v20" stroke="#111" stroke-width="2"/>`;
    const fill = row.ok === false ? '#c0392b' : '#3a7d44';
    return `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${escape(row.name)}</text><rect x="${left}" y="${y}" width="${ratio * scale}" height="14" fill="${fill}"/>${mark}<text x="${left + ratio * scale + 6}" y="${y + 12}">${ratio.toFixed(2)}</text>`;
  });
  const height = 60 + rows.length * 26;
  const title = 'KV transfer against its peer in the same run (ratio; the mark is the goal)';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/><text x="10" y="20" font-size="13">${title}</text>${bars.join('')}</svg>\n`;
}
