import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { arch, cpus, release, totalmem, type } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { BenchModule, Figure } from '../../../test/bench/figure.ts';
import { projectDir } from '../controlplane/index.ts';

const benchDir = path.join(projectDir, 'test', 'bench');

/** `npm run bench -- [area…] [--json FILE]`: runs the areas one after another and prints a table. Exit code 1 where a goal is missed. */
export async function runBench(args: string[], signal: AbortSignal = new AbortController().signal): Promise<number> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { json: { type: 'string' } } });
  const areas = await benchAreas();
  const unknown = positionals.find((area) => !areas.includes(area));
  if (unknown !== undefined) {
    console.error(`There is no benchmark area "${unknown}". Areas: ${areas.join(', ')}`);
    return 2;
  }
  const outDir = path.join(projectDir, 'bench-results');
  await mkdir(outDir, { recursive: true });
  const figures: Figure[] = [];
  for (const area of positionals.length > 0 ? positionals : areas) {
    const module = (await import(pathToFileURL(path.join(benchDir, `${area}.ts`)).href)) as BenchModule;
    if (Object.entries(module.env ?? {}).some(([name, value]) => process.env[name] !== value)) {
      figures.push(...(await inProcessOfItsOwn(area, { ...process.env, ...module.env }, outDir, signal)));
      continue;
    }
    console.log(`── ${area}`);
    const found = await module.run({ signal, log: (line) => console.log(`   ${line}`), outDir });
    for (const figure of found) console.log(row(figure));
    figures.push(...found);
  }
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    os: `${type()} ${release()} ${arch()}`,
    node: process.version,
  };
  const file = values.json ?? path.join(outDir, 'figures.json');
  await writeFile(file, JSON.stringify({ machine, figures }, undefined, 1));
  console.log(`${figures.length} figures in ${path.relative(process.cwd(), file)}`);
  return figures.some((figure) => figure.ok === false) ? 1 : 0;
}

/** An area whose environment has to be there before its process. It prints its own table. */
async function inProcessOfItsOwn(area: string, env: NodeJS.ProcessEnv, outDir: string, signal: AbortSignal): Promise<Figure[]> {
  const file = path.join(outDir, `${area}.json`);
  await rm(file, { force: true });
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, 'bench', area, '--json', file], { env, stdio: 'inherit', signal });
  await once(child, 'close');
  if (!existsSync(file)) throw new Error(`the benchmark ${area} ended early`);
  return (JSON.parse(await readFile(file, 'utf8')) as { figures: Figure[] }).figures;
}

/** Area modules: files of test/bench that are named after one word and export `run`; helpers have more words. */
async function benchAreas(): Promise<string[]> {
  const names = (await readdir(benchDir)).filter((name) => /^[a-z]+\.ts$/.test(name) && !['figure.ts', 'spread.ts'].includes(name));
  return names.map((name) => name.replace(/\.ts$/, '')).toSorted();
}

function row(figure: Figure): string {
  const number = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
  return [
    `${figure.ok === false ? '✗' : figure.ok === true ? '✓' : ' '} ${figure.name.padEnd(52)}`,
    `${number(figure.value)} ${figure.unit}`.padEnd(18),
    figure.spread === undefined ? '' : `[${figure.spread.map(number).join(' … ')}]`,
    figure.ratio === undefined ? '' : `${figure.ratio.toFixed(2)} × ${figure.peer ?? ''}`,
    figure.goal === undefined ? '' : `goal ${figure.goal}`,
    figure.note ?? '',
  ]
    .filter((part) => part !== '')
    .join('  ');
}
