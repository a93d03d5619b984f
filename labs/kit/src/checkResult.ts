import type { Assertion, CheckReport, Verdict } from '../../../backend/src/protocol/lab';
import { html, theme } from './html';
import type { Markup } from './html';
import { Rich } from './rich';
import type { MimeBundle } from './rich';

const words: Record<Verdict, { icon: string; word: string; color: string }> = {
  PASS: { icon: '✓', word: 'Passed', color: theme.success },
  FAIL: { icon: '✗', word: 'Not yet', color: theme.error },
  ERROR: { icon: '!', word: 'Could not look', color: theme.warn },
};

/** The outcome of one check, shown with what was expected and what was seen. */
export class CheckResult extends Rich implements CheckReport {
  readonly lab!: string;
  readonly step!: string;
  readonly verdict!: Verdict;
  readonly startedAt!: string;
  readonly durationMs!: number;
  readonly assertions!: CheckReport['assertions'];
  readonly evidence!: CheckReport['evidence'];
  readonly error?: { code: string; message: string };

  constructor(report: CheckReport) {
    super();
    Object.assign(this, report);
  }

  override bundle(): MimeBundle {
    const { icon, word } = words[this.verdict];
    const good = this.assertions.filter((a) => a.verdict === 'PASS').length;
    const lines = [`${icon} ${word}: ${this.step} (${good} of ${this.assertions.length} assertions hold)`];
    if (this.error) lines.push(`  ${this.error.message}`);
    for (const a of this.assertions) {
      lines.push(`  ${words[a.verdict].icon} ${a.title}`);
      if (a.verdict !== 'PASS') lines.push(`      expected  ${a.expected}`, `      observed  ${a.observed}`, ...(a.hint ? [`      hint      ${a.hint}`] : []));
    }
    return { 'text/plain': lines.join('\n'), 'text/html': this.markup(good).markup };
  }

  private markup(good: number): Markup {
    const { icon, word, color } = words[this.verdict];
    return html`<div
      style="border:1px solid ${theme.border};border-left:4px solid ${color};border-radius:3px;padding:8px 12px;font-family:${theme.font};color:${theme.text};background:${theme.surface};max-width:860px"
    >
      <div>
        <strong style="color:${color}">${icon} ${word}</strong>
        <span style="color:${theme.quiet}">${this.step} · ${good} of ${this.assertions.length} assertions hold</span>
      </div>
      ${this.error && html`<p style="margin:6px 0 0">${this.error.message}</p>`} ${this.assertions.map((a) => this.row(a))}
    </div>`;
  }

  private row(a: Assertion): Markup {
    const { icon, word, color } = words[a.verdict];
    const evidence = this.evidence.filter((e) => a.evidence.includes(e.id));
    const cell = 'text-align:left;padding:1px 12px 1px 0;vertical-align:top;background:none;border:0';
    return html`<details ${a.verdict === 'PASS' ? '' : html`open`} style="margin-top:6px">
      <summary style="cursor:pointer"><span style="color:${color}" aria-label="${word}">${icon}</span> ${code(a.title)}</summary>
      <table style="margin:4px 0 0 18px;font-size:inherit;border:0;border-collapse:collapse">
        <tbody>
          <tr style="background:none">
            <th scope="row" style="${cell};color:${theme.quiet};font-weight:normal">expected</th>
            <td style="${cell}">${code(a.expected)}</td>
          </tr>
          <tr style="background:none">
            <th scope="row" style="${cell};color:${theme.quiet};font-weight:normal">observed</th>
            <td style="${cell}">${code(a.observed)}</td>
          </tr>
          ${
            a.hint &&
            html`<tr style="background:none">
              <th scope="row" style="${cell};color:${theme.quiet};font-weight:normal">hint</th>
              <td style="${cell}">${code(a.hint)}</td>
            </tr>`
          }
          ${evidence.map(
            (e) =>
              html`<tr style="background:none">
                <th scope="row" style="${cell};color:${theme.quiet};font-weight:normal">seen at</th>
                <td style="${cell}"><code style="font-family:${theme.code}">${e.source}</code></td>
              </tr>`,
          )}
        </tbody>
      </table>
    </details>`;
  }
}

/** Words between backticks as code, as in Markdown. */
function code(text: string): Markup[] {
  return text.split('`').map((part, i) => (i % 2 === 1 ? html`<code style="font-family:${theme.code}">${part}</code>` : html`${part}`));
}
