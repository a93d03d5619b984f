import type { GraphView, KvTransferEdge, PodView, TopologySnapshot } from '../../../backend/src/protocol/lab';
import { html } from './html';
import { theme } from './html';
import type { Markup } from './html';
import { Picture } from './rich';
import { plainTable } from './table';

/** Colours by role: of the JupyterLab theme, or fixed ones where the picture stands alone. */
type Palette = Record<'text' | 'quiet' | 'border' | 'surface' | 'accent' | 'success' | 'warn', string>;
const standalone: Palette = {
  text: '#212121',
  quiet: '#616161',
  border: '#9e9e9e',
  surface: '#ffffff',
  accent: '#1976d2',
  success: '#2e7d32',
  warn: '#e65100',
};

const box = { width: 290, height: 62, gapX: 120, gapY: 18, margin: 14, title: 28, arc: 150 };

/** Graphs as boxes: frontends left, everything they route to on the right, prefill above decode; requests on the edges, KV transfers along the right side. */
export function topologyPicture(snapshot: TopologySnapshot): Picture {
  const pods = snapshot.graphs.flatMap((g) =>
    g.components.flatMap((c) =>
      c.pods.map((p) => [g.name, c.name, p.name, podState(p), p.kv ? String(p.kv.cachedBlocks) : '', p.requests ? String(p.requests.total) : '']),
    ),
  );
  const table = pods.length === 0 ? 'No graph is deployed.' : plainTable(['graph', 'component', 'pod', 'state', 'cached blocks', 'requests'], pods);
  const plain = [table, ...snapshot.problems.map((problem) => `! ${problem}`)].join('\n');
  if (snapshot.graphs.length === 0) return new Picture({ 'text/plain': plain });
  const draw = (palette: Palette): string => snapshot.graphs.map((graph) => drawGraph(graph, palette).markup).join('');
  return new Picture({
    'text/plain': plain,
    'text/html': html`<div style="font-family:${theme.font};color:${theme.text}">
      ${{ markup: draw(theme) }}${snapshot.problems.map((problem) => html`<div>! ${problem}</div>`)}
    </div>`.markup,
    ...(snapshot.graphs.length === 1 ? { 'image/svg+xml': draw(standalone) } : {}),
  });
}

function drawGraph(graph: GraphView, palette: Palette): Markup {
  const isPrefill = (c: GraphView['components'][number]): boolean => c.role === 'prefill';
  const workers = graph.components.filter((c) => c.type !== 'frontend');
  const columns = [graph.components.filter((c) => c.type === 'frontend'), [...workers.filter(isPrefill), ...workers.filter((c) => !isPrefill(c))]].map(
    (components) => components.flatMap((c) => c.pods.map((pod) => ({ pod, component: c.name }))),
  );
  const tallest = Math.max(1, ...columns.map((column) => column.length));
  const height = box.title + tallest * (box.height + box.gapY) + box.margin;
  const width = 2 * box.margin + 2 * box.width + box.gapX + (graph.transfers?.length ? box.arc : 0);
  const places = new Map<string, { x: number; y: number }>();
  columns.forEach((column, i) => {
    const indent = ((tallest - column.length) * (box.height + box.gapY)) / 2;
    column.forEach(({ pod }, row) =>
      places.set(pod.name, { x: box.margin + i * (box.width + box.gapX), y: box.title + indent + row * (box.height + box.gapY) }),
    );
  });
  const state = `${graph.namespace}/${graph.name}: ${graph.ready ? 'ready' : graph.state}`;
  return html`<svg
    xmlns="http://www.w3.org/2000/svg"
    viewBox="0 0 ${width} ${height}"
    width="${width}"
    height="${height}"
    style="max-width:100%;height:auto"
    role="img"
    aria-label="Topology of ${state}"
    font-family="system-ui, sans-serif"
    font-size="12"
  >
    <text x="${box.margin}" y="18" font-weight="600" fill="${palette.text}">${state}</text>
    ${graph.edges.map((edge) => drawEdge(edge, places, palette))}${graph.transfers?.map((edge) => drawTransfer(edge, places, palette))}
    ${columns.flat().map(({ pod, component }) => drawPod(pod, component, places.get(pod.name)!, palette))}
  </svg>`;
}

function drawEdge(edge: GraphView['edges'][number], places: Map<string, { x: number; y: number }>, palette: Palette): Markup | undefined {
  const from = places.get(edge.from);
  const to = places.get(edge.to);
  if (!from || !to) return undefined;
  const [x1, y1, x2, y2] = [from.x + box.width, from.y + box.height / 2, to.x, to.y + box.height / 2];
  const middle = (x1 + x2) / 2;
  return html`<path
      d="M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}"
      fill="none"
      stroke="${palette.accent}"
      stroke-width="${1 + Math.min(4, Math.log2(1 + edge.requests) / 2)}"
    />
    <text x="${x2 - 8}" y="${y2 - 6}" text-anchor="end" fill="${palette.quiet}">${edge.requests} requests</text>`;
}

function drawTransfer(edge: KvTransferEdge, places: Map<string, { x: number; y: number }>, palette: Palette): Markup | undefined {
  const from = places.get(edge.from);
  const to = places.get(edge.to);
  if (!from || !to) return undefined;
  const [x, y1, y2] = [from.x + box.width, from.y + box.height / 2, to.y + box.height / 2];
  return html`<path d="M${x} ${y1} C${x + 56} ${y1} ${x + 56} ${y2} ${x + 6} ${y2}" fill="none" stroke="${palette.success}" stroke-width="2" />
    <path d="M${x + 2} ${y2} l9 -5 v10 z" fill="${palette.success}" />
    <text x="${x + 48}" y="${(y1 + y2) / 2 - 3}" fill="${palette.text}">${edge.blocks} blocks</text>
    <text x="${x + 48}" y="${(y1 + y2) / 2 + 12}" fill="${palette.quiet}">${(edge.bytes / 1e6).toFixed(1)} MB of KV</text>`;
}

function drawPod(pod: PodView, component: string, at: { x: number; y: number }, palette: Palette): Markup {
  const color = pod.ready ? palette.success : palette.warn;
  const facts = [podState(pod), pod.kv && `${pod.kv.cachedBlocks} of ${pod.kv.totalBlocks} blocks`, pod.requests && `${pod.requests.running} running`]
    .filter(Boolean)
    .join(' · ');
  return html`<g
    ><rect x="${at.x}" y="${at.y}" width="${box.width}" height="${box.height}" rx="4" fill="${palette.surface}" stroke="${color}" stroke-width="1.5" />
    <text x="${at.x + 10}" y="${at.y + 18}" font-weight="600" fill="${palette.text}">${component}</text>
    <text x="${at.x + 10}" y="${at.y + 35}" fill="${palette.quiet}" font-size="11">${shorten(pod.name, 40)}</text>
    <text x="${at.x + 10}" y="${at.y + 52}" fill="${color}">${pod.ready ? '●' : '○'} ${facts}</text></g
  >`;
}

function podState(pod: PodView): string {
  return pod.ready ? 'ready' : (pod.reason ?? (pod.phase === 'Running' ? 'not ready' : pod.phase));
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, 14)}…${text.slice(text.length - length + 15)}`;
}
