import { parse } from 'yaml';

import { languageInfo } from '../kernel/languageInfo.ts';

/** A notebook in nbformat 4.5, as far as labs use it. */
export interface Notebook {
  cells: NotebookCell[];
  metadata: Record<string, unknown>;
  nbformat: 4;
  nbformat_minor: 5;
}

export interface NotebookCell {
  cell_type: 'code' | 'markdown';
  id: string;
  metadata: { dynamo_labs?: { step: string; role: CellRole } };
  source: string[];
  execution_count?: null;
  outputs?: [];
}

/** `task`: the learner does something here; `explore`: run it and look; `text`: prose. */
export type CellRole = 'task' | 'explore' | 'text';

/** The text of a lab breaks a rule of the format; `line` counts from 1. */
export class LabMarkdownError extends Error {
  readonly code = 'LAB_MARKDOWN';
  override readonly name = 'LabMarkdownError';
  readonly line: number;

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
  }
}

/** Languages that jupytext would turn into cells of other kernels; in lab text they are always a mistake. */
const runnableElsewhere = new Set(['bash', 'sh', 'python', 'javascript', 'js', 'r', 'ruby', 'perl']);
const id = /^[a-z0-9][a-z0-9-]*$/;

interface Draft {
  type: 'code' | 'markdown';
  lines: string[];
  step: string | undefined;
  role: CellRole;
}

/**
 * Lab text → notebook of the lab `lab` (its folder's name); see README.md beside this file for the format. Pure: the
 * same text gives the same bytes.
 *
 * @throws {LabMarkdownError} naming the line.
 */
export function notebookFromMarkdown(markdown: string, lab: string): Notebook {
  const lines = markdown.replaceAll('\r\n', '\n').split('\n');
  const counts = new Map<string, number>();
  const drafts = readCells(lines, bodyStart(lines));
  giveSectionsTheirStep(drafts);
  const cells = drafts.map((draft): NotebookCell => {
    const prefix = draft.step ?? 'intro';
    const n = (counts.get(prefix) ?? 0) + 1;
    counts.set(prefix, n);
    const source = draft.lines.map((line, i) => (i + 1 < draft.lines.length ? `${line}\n` : line));
    const common = { id: `${prefix}-${n}`, metadata: draft.step === undefined ? {} : { dynamo_labs: { step: draft.step, role: draft.role } }, source };
    return draft.type === 'code' ? { cell_type: 'code', execution_count: null, outputs: [], ...common } : { cell_type: 'markdown', ...common };
  });
  return {
    cells,
    metadata: {
      dynamo_labs: { lab },
      kernelspec: { display_name: 'TypeScript', language: 'typescript', name: 'tslab' },
      language_info: languageInfo,
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

/** As Python's nbformat writes it: sorted keys, indent 1, so that saving in JupyterLab changes nothing. */
export function notebookText(notebook: Notebook): string {
  return `${JSON.stringify(notebook, (_key, value: unknown) => (isRecord(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value), 1)}\n`;
}

function bodyStart(lines: readonly string[]): number {
  const end = lines[0] === '---' ? lines.indexOf('---', 1) : -1;
  if (end < 0) throw new LabMarkdownError(1, 'the file must start with a YAML header between two lines `---`');
  const header: unknown = parse(lines.slice(1, end).join('\n'));
  const jupyter = isRecord(header) ? header['jupyter'] : undefined;
  const kernel = isRecord(jupyter) ? jupyter['kernelspec'] : undefined;
  if (!isRecord(kernel) || kernel['name'] !== 'tslab') throw new LabMarkdownError(1, 'the header must name the kernel: `jupyter: {kernelspec: {name: tslab}}`');
  return end + 1;
}

/** Cells without a step of their own take that of the first code cell with one in their section (a heading of level 1 or 2 starts one). */
function giveSectionsTheirStep(drafts: readonly Draft[]): void {
  for (let start = 0; start < drafts.length;) {
    const next = drafts.findIndex((draft, i) => i > start && startsSection(draft));
    const section = drafts.slice(start, next < 0 ? drafts.length : next);
    const step = section.find((draft) => draft.step !== undefined)?.step;
    for (const draft of section) draft.step ??= step;
    start += section.length;
  }
}

function startsSection(draft: Draft): boolean {
  return draft.type === 'markdown' && /^##? /.test(draft.lines[0] ?? '');
}

function readCells(lines: readonly string[], bodyAt: number): Draft[] {
  const drafts: Draft[] = [];
  let prose: Draft | undefined;
  let blank = 0;
  const endProse = (): void => {
    while (prose && prose.lines.at(-1)?.trim() === '') prose.lines.pop();
    if (prose && prose.lines.length > 0) drafts.push(prose);
    prose = undefined;
    blank = 0;
  };
  const addProse = (line: string): void => {
    if (line.trim() === '') {
      blank++;
      prose?.lines.push(line);
      return;
    }
    if (blank >= 2 || /^##? /.test(line)) endProse();
    blank = 0;
    prose ??= { type: 'markdown', lines: [], step: undefined, role: 'text' };
    prose.lines.push(line);
  };
  for (let i = bodyAt; i < lines.length; i++) {
    const line = lines[i]!;
    const fence = /^(`{3,}|~{3,})\s*(\S*)\s*(.*)$/.exec(line);
    if (fence) {
      const end = lines.findIndex((candidate, at) => at > i && candidate.startsWith(fence[1]!) && candidate.slice(fence[1]!.length).trim() === '');
      if (end < 0) throw new LabMarkdownError(i + 1, 'this block is never closed');
      if (fence[1] === '```' && fence[2] === 'typescript') {
        endProse();
        drafts.push({ type: 'code', lines: lines.slice(i + 1, end), step: undefined, role: 'explore', ...readAttributes(fence[3]!, i + 1) });
      } else {
        if (fence[1] === '```' && runnableElsewhere.has(fence[2]!.toLowerCase())) {
          throw new LabMarkdownError(
            i + 1,
            `\`\`\`${fence[2]} would become a cell that the TypeScript kernel cannot run; write ~~~${fence[2]} or \`\`\`console for text to read`,
          );
        }
        for (let at = i; at <= end; at++) {
          // Blank lines inside a block never split a cell.
          if (at > i) prose!.lines.push(lines[at]!);
          else addProse(lines[at]!);
        }
      }
      i = end;
    } else addProse(line);
  }
  endProse();
  return drafts;
}

/** `dynamo_labs={"step":"deploy","role":"task"}` after the word `typescript`, as jupytext writes cell metadata. */
function readAttributes(text: string, line: number): { step?: string; role?: CellRole } {
  if (text.trim() === '') return {};
  const json = /^dynamo_labs=(\{.*\})\s*$/.exec(text.trim())?.[1];
  let value: unknown;
  try {
    value = json === undefined ? undefined : JSON.parse(json);
  } catch {
    value = undefined;
  }
  if (!isRecord(value)) throw new LabMarkdownError(line, 'only `dynamo_labs={"step":"…","role":"…"}` may stand after ```typescript');
  const { step, role } = value;
  if (role !== undefined && role !== 'task' && role !== 'explore')
    throw new LabMarkdownError(line, `unknown role ${JSON.stringify(role)}; it is "task" or "explore"`);
  return { ...(step === undefined ? {} : { step: validStep(String(step), line) }), ...(role === undefined ? {} : { role }) };
}

function validStep(step: string, line: number): string {
  if (!id.test(step) || step === 'intro' || step.length > 50)
    throw new LabMarkdownError(line, `\`${step}\` is no step id: lower-case letters, digits and hyphens`);
  return step;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
