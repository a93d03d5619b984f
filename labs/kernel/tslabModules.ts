import Module, { createRequire } from 'node:module';
import path from 'node:path';

import { expandShorthandProperties } from './shorthandProperties.ts';

/** The parts of tslab 1.0.22 that the kernel is made of. tslab itself stays unmodified. */
export interface TslabModules {
  versions: { tslab: string; typescript: string; node: string };
  createConverter(options: { isJS: boolean; isBrowser: boolean }): TslabConverter;
  createExecutor(rootDir: string, converters: { node: TslabConverter; browser: TslabConverter; close(): void }, console: TslabConsole): TslabExecutor;
  isCompleteCode(code: string): { completed: boolean; indent?: string };
  printQuickInfo(info: unknown): string;
  /** See shorthandProperties.ts. */
  expandShorthandProperties(source: string): string;
  /** tslab's public `display` API writes through this. */
  setDisplayWriter(write: (content: Record<string, unknown>, update: boolean) => void): void;
}

export interface TslabConsole {
  log(...values: unknown[]): void;
  error(...values: unknown[]): void;
}

export interface TslabDiagnostic {
  /** Zero-based. */
  start: { line: number; character: number };
  end: { line: number; character: number };
  messageText: string;
  fileName?: string;
}

export interface TslabConverter {
  convert(
    previousDeclarations: string,
    source: string,
  ): { output?: string; lastExpressionVar?: string; hasToplevelAwait?: boolean; diagnostics: TslabDiagnostic[] };
  close(): void;
}

export interface TslabExecutor {
  execute(source: string): Promise<boolean>;
  inspect(source: string, position: number): unknown;
  complete(source: string, position: number): { start: number; end: number; candidates: string[] };
  interrupt(): void;
  close(): void;
}

/** tslab's inside is not a public interface, so any other version is refused instead of half working. */
export class TslabVersionError extends Error {
  readonly code = 'TSLAB_VERSION';
  override readonly name = 'TslabVersionError';
}

const supportedVersion = '1.0.22';

/**
 * Loads tslab with compiler options fit for a course: strict, and `exports` maps understood. `projectDir` is where
 * `node_modules` lies: notebooks import `@dynamo-labs/kit` from there although they live in another folder.
 *
 * @throws {TslabVersionError} when another tslab than the pinned one is installed.
 */
export function loadTslab(projectDir: string): TslabModules {
  const require = createRequire(path.join(projectDir, 'package.json'));
  const { version } = require('tslab/package.json') as { version: string };
  if (version !== supportedVersion) throw new TslabVersionError(`tslab ${supportedVersion} is needed, but ${version} is installed; run \`npm ci\``);
  patchCompilerOptions(require, projectDir);
  addGlobalModules(path.join(projectDir, 'node_modules'));
  const jupyter = require('tslab/dist/jupyter.js');
  return {
    versions: require('tslab/dist/public.js').versions,
    createConverter: require('tslab/dist/converter.js').createConverter,
    createExecutor: require('tslab/dist/executor.js').createExecutor,
    isCompleteCode: require('tslab/dist/converter.js').isCompleteCode,
    expandShorthandProperties: (source) => expandShorthandProperties(require('@tslab/typescript-for-tslab'), source),
    printQuickInfo: require('tslab/dist/inspect.js').printQuickInfo,
    setDisplayWriter: (write) => (jupyter.lastWriteDisplayData = write),
  };
}

/** Replaces TypeScript's entry in the module cache before tslab loads it: tslab's own options are hard-coded. */
function patchCompilerOptions(require: NodeJS.Require, projectDir: string): void {
  const file = require.resolve('@tslab/typescript-for-tslab');
  const typescript = require(file);
  const modules = path.join(projectDir, 'node_modules');
  const options = {
    strict: true,
    moduleResolution: typescript.ModuleResolutionKind.Bundler,
    lib: ['lib.es2023.d.ts'],
    types: ['node'],
    typeRoots: [path.join(modules, '@types')],
  };
  const createWatchCompilerHost = (files: string[], own: object, system: CompilerSystem, ...rest: unknown[]): unknown =>
    typescript.createWatchCompilerHost(files, { ...own, ...options }, withProjectModules(withoutLookupTimer(system), modules), ...rest);
  require.cache[file]!.exports = new Proxy(typescript, {
    get: (target, name) => (name === 'createWatchCompilerHost' ? createWatchCompilerHost : target[name]),
  });
}

/** What the compiler asks the machine; tslab's own, changed in place below. */
interface CompilerSystem {
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  fileExists(file: string): boolean;
  directoryExists(folder: string): boolean;
  readFile(file: string, encoding?: string): string | undefined;
}

/**
 * tslab keeps one pending timer and throws on a second. The compiler has two kinds: "rebuild", which tslab fires itself,
 * and "look again for modules that were missing", started when files appear beside the notebook. The second runs at once.
 */
function withoutLookupTimer(system: CompilerSystem): CompilerSystem {
  const { setTimeout, clearTimeout } = system;
  const done = {};
  system.setTimeout = (callback, ms) => {
    if (callback.name !== 'invalidateResolutionsOfFailedLookup') return setTimeout(callback, ms);
    callback();
    return done;
  };
  system.clearTimeout = (timer) => {
    if (timer !== done) clearTimeout(timer);
  };
  return system;
}

/**
 * Shows the compiler the project's packages as if they lay in `node_modules` beside the notebook, where a package of
 * the same name really there wins. Types of theirs then have a name that declarations between cells can use.
 */
function withProjectModules(system: CompilerSystem, modules: string): CompilerSystem {
  const { fileExists, directoryExists, readFile } = system;
  const local = `${path.join(process.cwd(), 'node_modules')}${path.sep}`;
  const inProject = (file: string): string | undefined => (file.startsWith(local) ? path.join(modules, file.slice(local.length)) : undefined);
  const either = (exists: (file: string) => boolean) => (file: string) => {
    const fallback = inProject(file);
    return exists(file) || (fallback !== undefined && exists(fallback));
  };
  system.readFile = (file, encoding) => {
    const fallback = inProject(file);
    return readFile(fallback === undefined || fileExists(file) ? file : fallback, encoding);
  };
  system.fileExists = either(fileExists);
  system.directoryExists = either(directoryExists);
  return system;
}

/** Lets `require` find packages in `folder` from anywhere, as a fallback; child processes of the notebook do not inherit it. */
function addGlobalModules(folder: string): void {
  const before = process.env['NODE_PATH'];
  process.env['NODE_PATH'] = before ? `${before}${path.delimiter}${folder}` : folder;
  (Module as unknown as { _initPaths(): void })._initPaths();
  if (before === undefined) delete process.env['NODE_PATH'];
  else process.env['NODE_PATH'] = before;
}
