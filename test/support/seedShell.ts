import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Stack } from './stack.ts';

/** One call of kubectl that a cell made. */
export interface KubectlCall {
  args: string[];
  /** What the cell piped in; undefined where it piped nothing. */
  stdin?: string;
  code: number;
}

export interface CellRun {
  output: string;
  code: number;
  calls: KubectlCall[];
}

export interface SeedShell extends Disposable {
  /** Runs a cell's text, byte for byte, in bash; ends it after `timeoutMs`. */
  run(cell: string, timeoutMs?: number): Promise<CellRun>;
}

const kubectlWrapper = `#!/bin/bash
call=$(mktemp -d "$CAPTURE_DIR/$(date +%s%N)-XXXXXX")
printf '%s\\0' "$@" > "$call/argv"
case " $* " in
  *" -f - "*) cat > "$call/stdin"; "$REAL_KUBECTL" "$@" < "$call/stdin" ;;
  *) "$REAL_KUBECTL" "$@" ;;
esac
code=$?
echo $code > "$call/code"
exit $code
`;

/** The host is not in the pod network: what a cell asks of the node's address goes to the address its NodePorts have here. */
const curlWrapper = `#!/bin/bash
exec "$REAL_CURL" --connect-to "::$NODE_PORT_ADDRESS:" "$@"
`;

/** A bash in which \`kubectl\` records its arguments and standard input before it does the real thing. */
export function seedShell(stack: Stack, env: Record<string, string> = {}): SeedShell {
  const dir = mkdtempSync(path.join(tmpdir(), 'seed-shell-'));
  const bin = path.join(dir, 'bin');
  const captures = path.join(dir, 'calls');
  mkdirSync(bin);
  const install = (name: string, text: string): void => {
    writeFileSync(path.join(bin, name), text);
    chmodSync(path.join(bin, name), 0o755);
  };
  install('kubectl', kubectlWrapper);
  const curl = (stack.env['PATH'] ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, 'curl'))
    .find(existsSync);
  if (curl !== undefined) install('curl', curlWrapper);
  const { NAMESPACE: _namespace, RELEASE_VERSION: _release, NODE_IP: _node, ...inherited } = stack.env;
  const shellEnv = {
    ...inherited,
    PATH: `${bin}${path.delimiter}${stack.env['PATH'] ?? ''}`,
    CAPTURE_DIR: captures,
    REAL_KUBECTL: stack.local.binaries.kubectl,
    REAL_CURL: curl ?? 'curl',
    NODE_PORT_ADDRESS: stack.nodePortAddress,
    ...env,
  };
  const run = async (cell: string, timeoutMs = 60_000): Promise<CellRun> => {
    rmSync(captures, { recursive: true, force: true });
    mkdirSync(captures);
    const child = spawn('bash', ['-c', cell], { cwd: dir, env: shellEnv, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status) => resolve(status ?? -1));
    });
    const calls = readdirSync(captures)
      .sort()
      .map((name): KubectlCall => {
        const file = (part: string): string => path.join(captures, name, part);
        return {
          args: readFileSync(file('argv'), 'utf8').split('\0').slice(0, -1),
          ...(existsSync(file('stdin')) ? { stdin: readFileSync(file('stdin'), 'utf8') } : {}),
          code: existsSync(file('code')) ? Number(readFileSync(file('code'), 'utf8')) : -1,
        };
      });
    return { output, code, calls };
  };
  return { run, [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }) };
}

/**
 * What bash pipes out of a cell's first here-document: with a quoted delimiter the text itself, else with `variables` and
 * backslash pairs expanded. Computed here, independently of bash, to compare with what was captured.
 */
export function hereDocument(cell: string, variables: Record<string, string>): string {
  const match = /<<('?)EOF\1[^\n]*\n(.*?)^EOF$/ms.exec(cell);
  if (match === null) throw new Error('the cell has no here-document');
  const text = match[2]!;
  if (match[1] === "'") return text;
  return text.replace(/\\([\\$`])|\$\{(\w+)\}/g, (_whole, escaped: string | undefined, name: string | undefined) => {
    if (escaped !== undefined) return escaped;
    const value = variables[name!];
    if (value === undefined) throw new Error(`the here-document uses \${${name}}`);
    return value;
  });
}
