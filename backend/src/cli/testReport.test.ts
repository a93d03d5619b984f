import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatFailures, readVitestReport } from './testReport.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'test-report-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function tallyOf(report: object): ReturnType<typeof readVitestReport> {
  const file = path.join(dir, 'report.json');
  await writeFile(file, JSON.stringify({ numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, ...report }));
  return readVitestReport(file, '/project');
}
const passed = { ancestorTitles: [], title: 'passes', status: 'passed', failureMessages: [] };

describe('the report of vitest', () => {
  test('a failed test has its file, its groups, its name and its messages', async () => {
    const tally = await tallyOf({
      numPassedTests: 7,
      numFailedTests: 1,
      numPendingTests: 2,
      testResults: [
        { name: '/project/a.test.ts', status: 'passed', message: '', assertionResults: [passed] },
        {
          name: '/project/sub/b.test.ts',
          status: 'failed',
          message: '',
          assertionResults: [passed, { ancestorTitles: ['', 'a group'], title: 'fails', status: 'failed', failureMessages: ['expected 1', 'and 2'] }],
        },
      ],
    });
    expect(tally).toEqual({ passed: 7, failed: 1, skipped: 2, failures: [{ test: 'sub/b.test.ts › a group › fails', message: 'expected 1\nand 2' }] });
  });

  test('a file that does not load is one failure, with its reason', async () => {
    const testResults = [{ name: '/project/a.test.ts', status: 'failed', message: 'Cannot find module', assertionResults: [] }];
    expect(await tallyOf({ numPassedTests: 3, testResults })).toEqual({
      passed: 3,
      failed: 1,
      skipped: 0,
      failures: [{ test: 'a.test.ts', message: 'Cannot find module' }],
    });
  });

  test('one that was not written or is cut off is refused', async () => {
    await expect(readVitestReport(path.join(dir, 'none.json'), dir)).rejects.toThrow(/ENOENT/);
    await writeFile(path.join(dir, 'cut.json'), '{"numPassedTests": 3, "test');
    await expect(readVitestReport(path.join(dir, 'cut.json'), dir)).rejects.toThrow(SyntaxError);
  });
});

describe('failures at the end of a log', () => {
  test('are named one by one, without colours, each message indented below', () => {
    const failures = [
      { test: 'a.test.ts › one', message: '\u001B[31mexpected 1\u001B[39m\n    at here' },
      { test: 'b.test.ts', message: 'broken' },
    ];
    expect(formatFailures(failures)).toBe('✗ a.test.ts › one\n    expected 1\n        at here\n\n✗ b.test.ts\n    broken');
  });

  test('a long message keeps its beginning and its end', () => {
    const text = formatFailures([{ test: 'a', message: Array.from({ length: 500 }, (_, line) => `line ${line}`).join('\n') }]);
    expect(text).toContain('line 0\n');
    expect(text).toContain('line 499');
    expect(text).toContain('… 460 lines …');
    expect(text.split('\n')).toHaveLength(42);
  });

  test('long lines do not make a log of their own', () => {
    const text = formatFailures([{ test: 'a', message: `${`${'x'.repeat(5000)}\n`.repeat(30)}the end` }]);
    expect(text.length).toBeLessThan(3_200);
    expect(text).toMatch(/the end$/);
  });
});
