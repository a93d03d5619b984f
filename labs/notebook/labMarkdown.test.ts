import { expect, test } from 'vitest';

import { notebookFromMarkdown, notebookText } from './labMarkdown.ts';

const header = '---\njupyter:\n  kernelspec:\n    name: tslab\n---\n';
const build = (body: string): ReturnType<typeof notebookFromMarkdown> => notebookFromMarkdown(header + body, '03-kv');
const cells = (body: string): string[] =>
  build(body).cells.map((c) => `${c.id} ${c.cell_type} ${c.metadata.dynamo_labs?.role ?? '-'} ${JSON.stringify(c.source.join(''))}`);

test('prose and typescript blocks become cells; a section belongs to the step of its code', () => {
  const body = `# Title

Intro.

\`\`\`typescript
setup
\`\`\`

## Deploy

Text.

\`\`\`typescript dynamo_labs={"step": "deploy", "role": "task"}
const a = 1;


a
\`\`\`

After.

## Check
\`\`\`typescript
before
\`\`\`
\`\`\`typescript dynamo_labs={"step": "check"}
b
\`\`\`
`;
  expect(cells(body)).toEqual([
    'intro-1 markdown - "# Title\\n\\nIntro."',
    'intro-2 code - "setup"',
    'deploy-1 markdown text "## Deploy\\n\\nText."',
    'deploy-2 code task "const a = 1;\\n\\n\\na"',
    'deploy-3 markdown text "After."',
    'check-1 markdown text "## Check"',
    'check-2 code explore "before"',
    'check-3 code explore "b"',
  ]);
});

test('two blank lines split prose, but not inside a block', () => {
  expect(cells('one\n\n\ntwo\n~~~yaml\na: 1\n\n\nb: 2\n~~~\n')).toEqual([
    'intro-1 markdown - "one"',
    'intro-2 markdown - "two\\n~~~yaml\\na: 1\\n\\n\\nb: 2\\n~~~"',
  ]);
});

test('a longer fence holds a shorter one as text', () => {
  expect(cells('````md\n```typescript\nx\n```\n````\n')).toHaveLength(1);
});

test('the notebook names lab and kernel and has no outputs', () => {
  const notebook = build('```typescript\nx\n```\n');
  expect(notebook.metadata).toMatchObject({ dynamo_labs: { lab: '03-kv' }, kernelspec: { name: 'tslab' } });
  expect(notebook.cells[0]).toMatchObject({ outputs: [], execution_count: null });
  const text = notebookText(notebook);
  expect(text).toBe(notebookText(JSON.parse(text)));
  expect(text).toMatch(/^\{\n "cells": \[\n  \{\n   "cell_type": "code",\n   "execution_count": null,\n   "id": "intro-1",/);
});

test('Windows line ends make the same notebook', () => {
  const text = `${header}a\n\n\`\`\`typescript\nb\n\`\`\`\n`;
  expect(notebookText(notebookFromMarkdown(text.replaceAll('\n', '\r\n'), '03-kv'))).toBe(notebookText(notebookFromMarkdown(text, '03-kv')));
});

test.each([
  ['no header', '# Title', 1, 'YAML header'],
  ['no kernel', '---\njupyter: {}\n---\n', 1, 'must name the kernel'],
  ['a bash cell', `${header}text\n\`\`\`bash\nls\n\`\`\``, 7, 'cannot run'],
  ['an open block', `${header}\`\`\`typescript\nx`, 6, 'never closed'],
  ['an unknown role', `${header}\`\`\`typescript dynamo_labs={"role":"quiz"}\nx\n\`\`\``, 6, 'unknown role'],
  ['other attributes', `${header}\`\`\`typescript tags=["x"]\nx\n\`\`\``, 6, 'only `dynamo_labs'],
  ['a bad step id', `${header}\`\`\`typescript dynamo_labs={"step":"Deploy_It"}\nx\n\`\`\``, 6, 'no step id'],
])('%s is refused with its line', (_name, text, line, message) => {
  expect(() => notebookFromMarkdown(text, '03-kv')).toThrow(
    expect.objectContaining({ name: 'LabMarkdownError', line, message: expect.stringContaining(message) }),
  );
});
