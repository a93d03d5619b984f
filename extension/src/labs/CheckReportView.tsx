import type { ReactElement } from 'react';

import type { Assertion, CheckReport, Evidence } from '../protocol.ts';
import { InlineCode } from './InlineCode.tsx';
import { StateIcon, stateOfVerdict, stateWords } from './StateIcon.tsx';

/** What a check looked at: each assertion with expected, observed, its own hint, and where it was seen. */
export function CheckReportView({ report }: { report: CheckReport }): ReactElement {
  const good = report.assertions.filter(({ verdict }) => verdict === 'PASS').length;
  return (
    <section className={`dl-Report dl-mod-${stateOfVerdict(report.verdict)}`} aria-label="Result of the last check">
      <p className="dl-Report-head">
        {report.assertions.length > 0 ? `${good} of ${report.assertions.length} assertions hold` : 'Nothing could be looked at'}
        <span className="dl-quiet"> · {clock(report.startedAt)}</span>
      </p>
      {report.error && (
        <p className="dl-Report-error">
          <StateIcon state="error" label /> <InlineCode text={report.error.message} />
        </p>
      )}
      {openFirst(report.assertions).map((assertion) => (
        <AssertionView
          key={`${report.startedAt} ${assertion.id}`}
          assertion={assertion}
          evidence={report.evidence.filter(({ id }) => assertion.evidence.includes(id))}
        />
      ))}
    </section>
  );
}

/** What is still to be done comes first; within both groups the check's own order. */
function openFirst(assertions: readonly Assertion[]): Assertion[] {
  return assertions.toSorted((a, b) => Number(a.verdict === 'PASS') - Number(b.verdict === 'PASS'));
}

function AssertionView({ assertion, evidence }: { assertion: Assertion; evidence: Evidence[] }): ReactElement {
  const state = stateOfVerdict(assertion.verdict);
  return (
    <details className="dl-Assertion" open={assertion.verdict !== 'PASS'}>
      <summary>
        <StateIcon state={state} />
        <span className="dl-Assertion-title">
          <InlineCode text={assertion.title} />
        </span>
        <span className="dl-visuallyHidden">: {stateWords[state]}</span>
      </summary>
      <dl>
        <dt>Expected</dt>
        <dd>
          <InlineCode text={assertion.expected} />
        </dd>
        <dt>Observed</dt>
        <dd>
          <InlineCode text={assertion.observed} />
        </dd>
        {assertion.verdict !== 'PASS' && assertion.hint !== undefined && (
          <>
            <dt>Hint</dt>
            <dd>
              <InlineCode text={assertion.hint} />
            </dd>
          </>
        )}
      </dl>
      {evidence.map((item) => (
        <details key={item.id} className="dl-Evidence">
          <summary>
            Seen at <code>{item.source}</code>
          </summary>
          <pre tabIndex={0}>{typeof item.data === 'string' ? item.data : JSON.stringify(item.data, null, 2)}</pre>
        </details>
      ))}
    </details>
  );
}

function clock(time: string): string {
  return new Date(time).toLocaleTimeString();
}
