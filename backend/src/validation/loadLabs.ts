import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse } from 'yaml';
import { labYaml, type Act, type Lab, type WrongAnswer } from './labDefinition.ts';
import type { Check } from './runCheck.ts';

/** A lab folder that is not a lab: the message names the file and the field. */
export class LabInvalidError extends Error {
  readonly code = 'LAB_INVALID';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LabInvalidError';
  }
}

/** Loads every `labs/NN-name` folder, in order. */
export async function loadLabs(labsDir: string): Promise<Lab[]> {
  const entries = await readdir(labsDir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory() && /^\d\d-/.test(entry.name)).map((entry) => entry.name);
  return Promise.all(names.toSorted().map((name) => loadLab(path.join(labsDir, name))));
}

export async function loadLab(dir: string): Promise<Lab> {
  const file = path.join(dir, 'lab.yaml');
  const parsed = labYaml.safeParse(parse(await readFile(file, 'utf8')));
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    throw new LabInvalidError(`${file}: ${issues}`);
  }
  if (parsed.data.id !== path.basename(dir)) throw new LabInvalidError(`${file}: id "${parsed.data.id}" is not the folder's name`);
  const load = async <T>(name: string): Promise<T> => {
    const module = path.join(dir, name);
    if (!existsSync(module)) throw new LabInvalidError(`${module} is missing`);
    return (await import(pathToFileURL(module).href)) as T;
  };
  const { checks } = await load<{ checks: Record<string, Check> }>('checks.ts');
  const { solution, reset, leftovers } = await load<{ solution: Record<string, Act>; reset: Record<string, Act>; leftovers: Lab['leftovers'] }>('solution.ts');
  const { wrong } = await load<{ wrong: WrongAnswer[] }>('wrong.ts');
  const sections = parseHints(await readFile(path.join(dir, 'hints.md'), 'utf8'));
  return { yaml: parsed.data, dir, checks, solution, reset, leftovers, wrong, hints: sections.hints, solutionText: sections.solutions };
}

/**
 * hints.md: `## <step id>` headings; under each an ordered list (the hint ladder, an item may span lines) and a
 * `### Solution` part in Markdown.
 */
export function parseHints(markdown: string): { hints: Record<string, string[]>; solutions: Record<string, string> } {
  const hints: Record<string, string[]> = {};
  const solutions: Record<string, string> = {};
  for (const section of markdown.split(/^## /m).slice(1)) {
    const [heading = '', ...rest] = section.split('\n');
    const [ladder = '', solution = ''] = rest.join('\n').split(/^### Solution\s*$/m);
    const step = heading.trim();
    hints[step] = ladder
      .split(/^\d+\. /m)
      .slice(1)
      .map((item) => item.trim());
    solutions[step] = solution.trim();
  }
  return { hints, solutions };
}
