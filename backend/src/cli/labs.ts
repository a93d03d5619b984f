import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { projectDir, startLocalStack, stateLayout } from '../controlplane/index.ts';
import { ClusterView, junit, lintLab, loadLabs, testLab, type Lab, type PassResult } from '../validation/index.ts';
import { podNetOption } from './startOptions.ts';

const usage = `npm run labs -- list
npm run labs -- lint [lab…]
npm run labs -- test [lab[:step]…] [--kubeconfig FILE] [--model NAME] [--junit FILE] [--json FILE]

test starts a throw-away cluster of its own, unless --kubeconfig names one.
Each step: the check fails when nothing was done, fails for the stated reason on each known mistake, passes after the
solution; a reset leaves nothing behind. FAIL is the lab's fault (exit code 1), ERROR the infrastructure's (exit code 2).`;

/** `npm run labs`: resolves with the exit code. */
export async function runLabs(args: string[], signal?: AbortSignal): Promise<number> {
  const [command = '', ...rest] = args;
  const labs = await loadLabs(path.join(projectDir, 'labs'));
  if (command === 'list') {
    for (const { yaml } of labs) console.log(`${yaml.id}  ${yaml.title} (${yaml.steps.length} steps)`);
    return 0;
  }
  if (command === 'lint') return lint(select(labs, rest).map(({ lab }) => lab));
  if (command === 'test') return test(labs, rest, signal);
  console.error(usage);
  return command === '' || command === '--help' ? 0 : 2;
}

interface Selection {
  lab: Lab;
  step?: string;
}

/** `lab` or `lab:step`; a lab may be named by its number. Unknown names are refused with the known ones. */
function select(labs: Lab[], names: string[]): Selection[] {
  if (names.length === 0) return labs.map((lab) => ({ lab }));
  return names.map((name) => {
    const [labName = '', step] = name.split(':');
    const lab = labs.find(({ yaml }) => yaml.id === labName || yaml.id.startsWith(`${labName}-`));
    if (lab === undefined) throw new Error(`There is no lab "${labName}". Labs: ${labs.map(({ yaml }) => yaml.id).join(', ')}`);
    const steps = lab.yaml.steps.map(({ id }) => id);
    if (step !== undefined && !steps.includes(step)) throw new Error(`Lab ${lab.yaml.id} has no step "${step}". Steps: ${steps.join(', ')}`);
    return { lab, ...(step !== undefined && { step }) };
  });
}

async function lint(labs: Lab[]): Promise<number> {
  const problems = (await Promise.all(labs.map(lintLab))).flat();
  for (const problem of problems) console.error(problem);
  console.log(problems.length === 0 ? `${labs.length} lab${labs.length === 1 ? '' : 's'}: no problems` : `${problems.length} problems`);
  return problems.length === 0 ? 0 : 1;
}

async function test(labs: Lab[], args: string[], signal: AbortSignal | undefined): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { kubeconfig: { type: 'string' }, model: { type: 'string', default: 'tiny' }, junit: { type: 'string' }, json: { type: 'string' } },
  });
  const selected = select(labs, positionals);
  const results: PassResult[] = [];
  const run = async (cluster: ClusterView): Promise<void> => {
    for (const { lab, step } of selected) {
      const onResult = (result: PassResult): void => console.log(line(result));
      results.push(...(await testLab({ lab, cluster, onResult, ...(step !== undefined && { step }), ...(signal && { signal }) })));
    }
  };
  if (values.kubeconfig !== undefined) await run(ClusterView.fromKubeconfig(values.kubeconfig));
  else await onPrivateCluster(values.model, run, signal);

  if (values.junit !== undefined) await writeFile(values.junit, junit(results));
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify(results, undefined, 1));
  const count = (verdict: PassResult['verdict']): number => results.filter((result) => result.verdict === verdict).length;
  console.log(`${count('PASS')} passed, ${count('FAIL')} failed, ${count('ERROR')} errors`);
  if (count('ERROR') > 0) return 2;
  return count('FAIL') > 0 ? 1 : 0;
}

function line(result: PassResult): string {
  const name = [result.lab, result.step, result.pass, result.name].filter((part) => part !== undefined).join(' › ');
  const text = `${result.verdict.padEnd(5)} ${name} (${(result.durationMs / 1000).toFixed(1)} s)`;
  return result.message === undefined ? text : `${text}\n      ${result.message}`;
}

/** A cluster that nobody else uses, gone afterwards; programs and models come from the shared cache. */
async function onPrivateCluster(model: string, run: (cluster: ClusterView) => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const home = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-test-'));
  const layout = stateLayout({ ...process.env, DYNAMO_LABS_HOME: home, DYNAMO_LABS_CACHE: stateLayout().cache });
  try {
    const stack = await startLocalStack({
      layout,
      parts: ['controlplane', 'nodeagent', 'operator'],
      env: { DYNAMO_LABS_ENGINE_MODEL: model },
      // NodePorts of a cluster that the person may be running must stay free for it.
      nodePortAddress: `127.${64 + (process.pid % 60)}.0.1`,
      podNet: podNetOption(process.env['DYNAMO_LABS_PODNET']),
      throwAway: true,
      ...(signal && { signal }),
    });
    try {
      await run(ClusterView.fromKubeconfig(stack.kubeconfig));
    } finally {
      await stack.stop();
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
