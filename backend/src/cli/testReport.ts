import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';

export interface TestFailure {
  /** File and name of the test, with its groups. */
  test: string;
  message: string;
}

/** What one part of the test run counted. A part that could not run at all is one failure. */
export interface TestTally {
  passed: number;
  failed: number;
  skipped: number;
  failures: TestFailure[];
}

/** What is read of the report that vitest's JSON reporter writes. */
interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { ancestorTitles: string[]; title: string; status: string; failureMessages: string[] }[];
  }[];
}

/** The tally of a JSON report of vitest. A file that does not load has no failed test of its own: it is one failure. */
export async function readVitestReport(file: string, baseDir: string): Promise<TestTally> {
  const report = JSON.parse(await readFile(file, 'utf8')) as VitestReport;
  const failures = report.testResults.flatMap(({ name, status, message, assertionResults }): TestFailure[] => {
    const inFile = path.relative(baseDir, name);
    const failed = assertionResults.filter((test) => test.status === 'failed');
    if (failed.length === 0 && status === 'failed') return [{ test: inFile, message }];
    return failed.map((test) => ({
      test: [inFile, ...test.ancestorTitles.filter((title) => title !== ''), test.title].join(' › '),
      message: test.failureMessages.join('\n'),
    }));
  });
  return { passed: report.numPassedTests, failed: Math.max(report.numFailedTests, failures.length), skipped: report.numPendingTests, failures };
}

const maxLines = 40;
const maxCharacters = 3_000;

/**
 * The failures as the end of a long log shows them, when what was printed at the time has scrolled away: each test with the beginning of its
 * message and, where that is long, its end (where a program's output says what went wrong).
 */
export function formatFailures(failures: TestFailure[]): string {
  return failures.map(({ test, message }) => `✗ ${test}\n${indent(shorten(stripVTControlCharacters(message).trim()))}`).join('\n\n');
}

function shorten(text: string): string {
  const lines = text.split('\n').map((line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line));
  const kept = lines.length <= maxLines ? lines : [...lines.slice(0, maxLines / 2), `… ${lines.length - maxLines} lines …`, ...lines.slice(-maxLines / 2)];
  const joined = kept.join('\n');
  return joined.length <= maxCharacters ? joined : `${joined.slice(0, maxCharacters / 2)}\n…\n${joined.slice(-maxCharacters / 2)}`;
}

const indent = (text: string): string => text.replaceAll(/^/gm, '    ');
