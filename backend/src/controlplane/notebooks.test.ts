import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyNotebooks } from './notebooks.ts';
import { stateLayout, type StateLayout } from './stateLayout.ts';

describe('copyNotebooks', () => {
  let dir: string;
  let layout: StateLayout;
  let source: string;
  const copy = (): string => path.join(layout.work, '01-first', 'lab.ipynb');
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'dynamo-labs-notebooks-'));
    layout = stateLayout({ DYNAMO_LABS_HOME: path.join(dir, 'home') });
    source = path.join(dir, 'labs');
    mkdirSync(path.join(source, '01-first'), { recursive: true });
    mkdirSync(path.join(source, 'kit'), { recursive: true });
    mkdirSync(layout.home, { recursive: true });
    writeFileSync(path.join(source, '01-first', 'lab.ipynb'), 'first edition');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('copies each lab that has a notebook and names them', async () => {
    expect(await copyNotebooks(layout, source)).toEqual(['01-first']);
    expect(readFileSync(copy(), 'utf8')).toBe('first edition');
  });

  it('brings the manifests that the cells read, by the same rule', async () => {
    const manifests = path.join(source, '01-first', 'manifests');
    mkdirSync(manifests);
    for (const name of ['graph.yaml', 'nats.yaml']) writeFileSync(path.join(manifests, name), `${name} 1`);
    await copyNotebooks(layout, source);
    const copied = (name: string): string => path.join(layout.work, '01-first', 'manifests', name);
    writeFileSync(copied('nats.yaml'), 'edited');
    for (const name of ['graph.yaml', 'nats.yaml']) writeFileSync(path.join(manifests, name), `${name} 2`);
    await copyNotebooks(layout, source);
    expect([readFileSync(copied('graph.yaml'), 'utf8'), readFileSync(copied('nats.yaml'), 'utf8')]).toEqual(['graph.yaml 2', 'edited']);
  });

  it('brings a newer edition only where the learner changed nothing', async () => {
    await copyNotebooks(layout, source);
    writeFileSync(path.join(source, '01-first', 'lab.ipynb'), 'second edition');
    await copyNotebooks(layout, source);
    expect(readFileSync(copy(), 'utf8')).toBe('second edition');
    writeFileSync(copy(), "the learner's work");
    writeFileSync(path.join(source, '01-first', 'lab.ipynb'), 'third edition');
    await copyNotebooks(layout, source);
    expect(readFileSync(copy(), 'utf8')).toBe("the learner's work");
  });
});
