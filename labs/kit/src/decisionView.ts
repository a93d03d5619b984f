import type { CandidateScore, RoutingDecision } from '../../../backend/src/protocol/decision';
import { html, theme } from './html';
import { Rich } from './rich';
import type { MimeBundle } from './rich';
import { plainTable } from './table';

/** One routing decision with a table of its candidates. `decision` holds every field. */
export class DecisionView extends Rich {
  readonly decision: RoutingDecision;

  constructor(decision: RoutingDecision) {
    super();
    this.decision = decision;
  }

  override bundle(): MimeBundle {
    const d = this.decision;
    const terms = Object.keys(d.candidates[0]?.terms ?? {});
    const columns = ['worker', 'overlap blocks', 'prefill tokens', 'decode blocks', ...terms.map((term) => term.replaceAll('_', ' ')), 'cost'];
    const rows = d.candidates.map((c) => [
      name(c),
      c.overlap_blocks,
      c.active_prefill_tokens,
      c.active_decode_blocks,
      ...terms.map((t) => c.terms[t] ?? ''),
      c.cost ?? '–',
    ]);
    const isChosen = (c: CandidateScore): boolean => c.worker_id === d.chosen.worker_id && c.dp_rank === d.chosen.dp_rank;
    const head = `Request ${d.request_id}: ${d.isl_tokens} tokens, ${d.request_blocks} blocks of ${d.block_size}, mode ${d.mode}`;
    const outcome =
      d.outcome &&
      `${d.outcome.prompt_tokens} prompt tokens, ${d.outcome.cached_tokens} from the cache, ${d.outcome.computed_tokens} computed; first token after ${d.outcome.ttft_ms.toFixed(0)} ms`;
    const plainRows = rows.map((row, i) => [isChosen(d.candidates[i]!) ? '→' : '', ...row]);
    const cell = `padding:2px 10px;border:0;border-bottom:1px solid ${theme.border};text-align:right`;
    const table = html`<table style="border-collapse:collapse;font-size:inherit;margin:6px 0">
      <thead>
        <tr>
          ${columns.map((c, i) => html`<th scope="col" style="${cell};color:${theme.quiet}${i === 0 ? ';text-align:left' : ''}">${c}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row, r) => {
          const chosen = isChosen(d.candidates[r]!);
          return html`<tr style="background:${chosen ? theme.raised : 'none'}">
            ${row.map((value, i) => html`<td style="${cell}${i === 0 ? ';text-align:left;white-space:nowrap' : ''}${chosen ? ';font-weight:600' : ''}">${i === 0 && chosen ? '→ ' : ''}${format(value)}</td>`)}
          </tr>`;
        })}
      </tbody>
    </table>`;
    const box = html`<div style="font-family:${theme.font};color:${theme.text}">
      <strong>${head}</strong>
      <div style="overflow-x:auto">${table}</div>
      <div>${d.reason}</div>
      ${outcome && html`<div style="color:${theme.quiet}">${outcome}</div>`}
    </div>`;
    return {
      'text/plain': [
        head,
        plainTable(
          ['', ...columns],
          plainRows.map((row) => row.map(format)),
        ),
        d.reason,
        ...(outcome ? [outcome] : []),
      ].join('\n'),
      'text/html': box.markup,
    };
  }
}

function name(candidate: CandidateScore): string {
  return candidate.pod ?? candidate.worker_id;
}

function format(value: string | number): string {
  return typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(3) : String(value);
}
