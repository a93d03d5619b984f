import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lintLab } from './lintLab.ts';
import { loadLab, parseHints } from './loadLabs.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'labs-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function writeLab(files: Record<string, string> = {}): Promise<string> {
  const dir = path.join(root, '01-toy');
  await mkdir(dir, { recursive: true });
  const all = {
    'lab.yaml': 'id: 01-toy\ntitle: Toy\nsummary: A toy.\nsteps:\n  - {id: one, title: One, goal: Be one, durationMinutes: 1}\n',
    'checks.ts': 'export const checks = { one: async () => {} };',
    'solution.ts': 'export const solution = { one: async () => {} }; export const reset = { one: async () => {} }; export const leftovers = async () => [];',
    'wrong.ts': "export const wrong = [{ step: 'one', name: 'w', because: 'b', apply: async () => {}, expect: { assertion: 'a' } }];",
    'hints.md': '# Hints\n\n## one\n\n1. First.\n2. Second,\n   longer.\n\n### Solution\n\nDo it.\n',
    'lab.md': '# Toy\n\n```typescript {"step": "one"}\nawait 1;\n```\n',
    ...files,
  };
  for (const [name, text] of Object.entries(all)) await writeFile(path.join(dir, name), text);
  return dir;
}

describe('loadLab', () => {
  it('loads yaml, code, hints and solution text', async () => {
    const lab = await loadLab(await writeLab());
    expect(lab.yaml.steps[0]).toMatchObject({ id: 'one', checkSeconds: 30 });
    expect(lab.hints['one']).toEqual(['First.', 'Second,\n   longer.']);
    expect(lab.solutionText['one']).toBe('Do it.');
  });

  it('names the file and the field of an invalid lab.yaml', async () => {
    const dir = await writeLab({
      'lab.yaml': 'id: 01-toy\ntitle: Toy\nsummary: A toy.\nsteps:\n  - {id: One, title: One, goal: g, durationMinutes: 1, typo: 2}\n',
    });
    await expect(loadLab(dir)).rejects.toThrow(/lab\.yaml: .*steps\.0\.id/);
  });

  it('lints a sound lab clean', async () => {
    expect(await lintLab(await loadLab(await writeLab()))).toEqual([]);
  });

  it.each([
    ['a step without a wrong answer', { 'wrong.ts': 'export const wrong = [];' }, 'step "one" has no wrong answer'],
    ['hints for an unknown step', { 'hints.md': '## two\n\n1. x\n\n### Solution\n\ny\n' }, '"two" is not a step'],
    ['a bash cell', { 'lab.md': '```bash\nls\n```\n```typescript {"step": "one"}\n```\n' }, '```bash fence'],
    ['an open fence', { 'lab.md': '```typescript {"step": "one"}\n' }, 'not closed'],
    ['a step without a cell', { 'lab.md': '# nothing\n' }, 'no cell belongs to step "one"'],
    ['a foreign import', { 'lab.md': '```typescript {"step": "one"}\nimport fs from \'node:fs\';\n```\n' }, 'imports "node:fs"'],
    ['a dead link', { 'lab.md': '[x](missing.yaml)\n\n```typescript {"step": "one"}\n```\n' }, '"missing.yaml", which does not exist'],
  ])('finds %s', async (_what, files, expected) => {
    expect((await lintLab(await loadLab(await writeLab(files)))).join('\n')).toContain(expected);
  });
});

describe('parseHints', () => {
  it('keeps steps apart', () => {
    expect(parseHints('## a\n\n1. x\n\n### Solution\n\ns\n\n## b\n\n1. y\n')).toEqual({ hints: { a: ['x'], b: ['y'] }, solutions: { a: 's', b: '' } });
  });
});
