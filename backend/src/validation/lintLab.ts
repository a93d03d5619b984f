import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Lab } from './labDefinition.ts';

/** Everything wrong with a lab's shape, one line each; empty when it is sound. Runs without a cluster. */
export async function lintLab(lab: Lab): Promise<string[]> {
  const problems: string[] = [];
  const stepIds = lab.yaml.steps.map((step) => step.id);
  const duplicate = stepIds.find((id, index) => stepIds.indexOf(id) !== index);
  if (duplicate !== undefined) problems.push(`lab.yaml: step "${duplicate}" appears twice`);
  const records = {
    'checks.ts checks': lab.checks,
    'solution.ts solution': lab.solution,
    'solution.ts reset': lab.reset,
    'hints.md hints': lab.hints,
    'hints.md solutions': lab.solutionText,
  };
  for (const [where, record] of Object.entries(records)) {
    for (const id of stepIds) if (record[id] === undefined) problems.push(`${where}: nothing for step "${id}"`);
    for (const id of Object.keys(record)) if (!stepIds.includes(id)) problems.push(`${where}: "${id}" is not a step of lab.yaml`);
  }
  for (const step of lab.yaml.steps) {
    if (lab.hints[step.id]?.length === 0) problems.push(`hints.md: step "${step.id}" has no hint`);
    if (lab.solutionText[step.id] === '') problems.push(`hints.md: step "${step.id}" has no solution text`);
    if (step.readOnly === undefined && !lab.wrong.some((wrong) => wrong.step === step.id)) problems.push(`wrong.ts: step "${step.id}" has no wrong answer`);
  }
  for (const wrong of lab.wrong) if (!stepIds.includes(wrong.step)) problems.push(`wrong.ts: "${wrong.name}" names the unknown step "${wrong.step}"`);
  problems.push(...(await lintText(lab, stepIds)));
  return problems.map((problem) => `${lab.yaml.id}: ${problem}`);
}

/** Mistakes that tslab or a forge would only show at run time. */
async function lintText(lab: Lab, stepIds: string[]): Promise<string[]> {
  const file = path.join(lab.dir, 'lab.md');
  if (!existsSync(file)) return ['lab.md is missing'];
  const text = await readFile(file, 'utf8');
  const problems: string[] = [];
  const fences = [...text.matchAll(/^```(\S*)[ \t]*(.*)$/gm)];
  if (fences.length % 2 !== 0) problems.push('lab.md: a code fence is not closed');
  const seen = new Set<string>();
  for (const [, language = '', attributes = ''] of fences) {
    if (language === 'bash') problems.push('lab.md: a ```bash fence becomes a cell that the TypeScript kernel cannot run; use ```console');
    if (language !== 'typescript') continue;
    const step = /"step":\s*"([^"]+)"/.exec(attributes)?.[1];
    if (step === undefined) continue;
    seen.add(step);
    if (!stepIds.includes(step)) problems.push(`lab.md: a cell names the unknown step "${step}"`);
  }
  for (const [, cell = ''] of text.matchAll(/^```typescript[^\n]*\n(.*?)^```/gms)) {
    for (const [, module = ''] of cell.matchAll(/^import .* from '([^']+)'/gm)) {
      if (module !== '@dynamo-labs/kit') problems.push(`lab.md: a cell imports "${module}"; notebooks import only @dynamo-labs/kit`);
    }
  }
  for (const id of stepIds) if (!seen.has(id)) problems.push(`lab.md: no cell belongs to step "${id}"`);
  for (const [, target = ''] of text.matchAll(/!?\[[^\]]*\]\((?!https?:|#)([^)\s]+)\)/g)) {
    if (!existsSync(path.join(lab.dir, target))) problems.push(`lab.md: link to "${target}", which does not exist`);
  }
  if (/!\[\]\(/.test(text)) problems.push('lab.md: a picture without alternative text');
  return problems;
}
