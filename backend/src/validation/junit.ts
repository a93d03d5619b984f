import type { PassResult } from './testLab.ts';

const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[char] as string).replace(/[^\t\n\r\x20-\uFFFF]/g, '?');

/** JUnit XML with one suite per lab: FAIL is a failure, ERROR an error. */
export function junit(results: PassResult[]): string {
  const suites = Map.groupBy(results, (result) => result.lab);
  const body = [...suites].map(([lab, cases]) => {
    const count = (verdict: string): number => cases.filter((result) => result.verdict === verdict).length;
    const rows = cases.map((result) => {
      const name = escape([result.step, result.pass, result.name].filter((part) => part !== undefined).join(' › '));
      const open = `    <testcase classname="labs.${escape(lab)}" name="${name}" time="${(result.durationMs / 1000).toFixed(3)}"`;
      if (result.verdict === 'PASS') return `${open}/>`;
      const tag = result.verdict === 'FAIL' ? 'failure' : 'error';
      return `${open}>\n      <${tag} message="${escape(result.message ?? '')}"/>\n    </testcase>`;
    });
    return `  <testsuite name="${escape(lab)}" tests="${cases.length}" failures="${count('FAIL')}" errors="${count('ERROR')}">\n${rows.join('\n')}\n  </testsuite>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${body.join('\n')}\n</testsuites>\n`;
}
