import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../controlplane/index.ts';
import { formatFailures, readVitestReport, type TestTally } from './testReport.ts';

interface TestPart {
  name: string;
  argv: string[];
  /** Reads the tally from a report of the tool; without it the exit code is one pass or one failure. */
  tally?: (reportFile: string) => Promise<TestTally>;
}

const bin = (...parts: string[]): string => path.join(projectDir, 'node_modules', ...parts);
const vitestReport = (file: string): Promise<TestTally> => readVitestReport(file, projectDir);

function parts(report: string, filter: string[]): TestPart[] {
  const vitest = (project: string): string[] => [
    process.execPath,
    bin('vitest', 'vitest.mjs'),
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...filter,
  ];
  const servers: TestPart[] = [
    { name: 'unit tests', argv: vitest('unit'), tally: vitestReport },
    { name: 'tests with real servers', argv: vitest('cluster'), tally: vitestReport },
  ];
  if (filter.length > 0) return servers.map((part) => ({ ...part, argv: [...part.argv, '--passWithNoTests'] }));
  return [
    ...['.', 'extension', 'labs/kit'].map((project) => ({
      name: `types of ${project}`,
      argv: [process.execPath, bin('typescript', 'bin', 'tsc'), '-p', project, '--noEmit'],
    })),
    { name: 'lint', argv: [process.execPath, bin('oxlint', 'bin', 'oxlint'), '--type-aware'] },
    { name: 'labs: lint', argv: [process.execPath, path.join(projectDir, 'backend/src/cli/main.ts'), 'labs', 'lint'] },
    { name: 'labs: notebooks match their source', argv: [process.execPath, path.join(projectDir, 'labs/build.mjs'), '--check'] },
    ...servers,
  ];
}

/** `npm test`: everything, or the test files whose path contains one of `filter`. Resolves with the exit code. */
export async function runTests(filter: string[], signal?: AbortSignal): Promise<number> {
  const dir = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-report-'));
  await mkdir(path.join(projectDir, 'test', 'artifacts'), { recursive: true });
  const total: TestTally = { passed: 0, failed: 0, skipped: 0, failures: [] };
  const broken: string[] = [];
  try {
    for (const [index, part] of parts(path.join(dir, 'report.json'), filter).entries()) {
      const report = path.join(dir, `${index}.json`);
      const argv = part.argv.map((argument) => argument.replace(path.join(dir, 'report.json'), report));
      console.log(`\n── ${part.name}`);
      const start = performance.now();
      const code = await run(argv, signal);
      const alone: TestTally = { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0, failures: [] };
      const tally = part.tally === undefined ? alone : await part.tally(report).catch(() => ({ ...alone, passed: 0 }));
      if (code !== 0 && tally.failed === 0) tally.failed = 1;
      if (tally.failed > 0) broken.push(part.name);
      total.passed += tally.passed;
      total.failed += tally.failed;
      total.skipped += tally.skipped;
      total.failures.push(...tally.failures);
      console.log(
        `── ${part.name}: ${tally.passed} passed, ${tally.failed} failed${tally.skipped > 0 ? `, ${tally.skipped} skipped` : ''} (${((performance.now() - start) / 1000).toFixed(1)} s)`,
      );
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
  if (total.failures.length > 0) console.log(`\n${formatFailures(total.failures)}`);
  if (broken.length > 0) console.log(`\nfailed in: ${broken.join(', ')}`);
  console.log(`\n${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
  return total.failed === 0 ? 0 : 1;
}

function run(argv: string[], signal: AbortSignal | undefined): Promise<number> {
  const [program = '', ...args] = argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: projectDir, stdio: ['ignore', 'inherit', 'inherit'], ...(signal && { signal }) });
    child.once('error', (error) => {
      console.error(error.message);
      resolve(127);
    });
    child.once('close', (code, killedBy) => resolve(code ?? (killedBy === null ? 1 : 130)));
  });
}
