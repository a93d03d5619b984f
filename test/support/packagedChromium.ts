import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

const packageDir = path.resolve(import.meta.dirname, '../../node_modules/@sparticuz/chromium');

/**
 * The browser inside the npm package `@sparticuz/chromium`, unpacked once below node_modules; its `env` names the package's
 * own NSS libraries and fonts where the machine has none. (The package's own function unpacks to a fixed name in the shared
 * temporary folder, where two test files would meet.)
 */
export function packagedChromium(): { executablePath: string; env: Record<string, string> } {
  const { version } = JSON.parse(readFileSync(path.join(packageDir, 'package.json'), 'utf8')) as { version: string };
  const dir = path.resolve(packageDir, '../../.cache/dynamo-labs-chromium', version);
  if (!existsSync(dir)) unpack(dir);
  const executablePath = path.join(dir, 'chromium');
  const env: Record<string, string> = {};
  const lib = path.join(dir, 'lib');
  const ldd = spawnSync('ldd', [executablePath], { encoding: 'utf8' });
  if (ldd.status !== 0 || ldd.stdout.includes('not found')) env['LD_LIBRARY_PATH'] = [lib, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
  if (!existsSync('/etc/fonts/fonts.conf')) env['FONTCONFIG_PATH'] = dir;
  return { executablePath, env };
}

/** Whole or not at all: another test file may unpack at the same time. */
function unpack(dir: string): void {
  mkdirSync(path.dirname(dir), { recursive: true });
  const partial = mkdtempSync(`${dir}.`);
  try {
    const packed = (name: string): Buffer => brotliDecompressSync(readFileSync(path.join(packageDir, 'bin', `${name}.br`)));
    writeFileSync(path.join(partial, 'chromium'), packed('chromium'));
    chmodSync(path.join(partial, 'chromium'), 0o755);
    for (const name of ['al2023.tar', 'fonts.tar']) {
      const tar = spawnSync('tar', ['-xf', '-', '-C', partial], { input: packed(name), maxBuffer: 1 << 20 });
      if (tar.status !== 0) throw new Error(`tar could not unpack ${name} of @sparticuz/chromium: ${tar.stderr}${tar.error?.message ?? ''}`);
    }
    // The package's own names the places of a cloud function.
    const fonts = `<?xml version="1.0"?>\n<fontconfig><dir>${path.join(dir, 'fonts')}</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>\n`;
    writeFileSync(path.join(partial, 'fonts.conf'), fonts);
    renameSync(partial, dir);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(dir)) throw error;
  }
}
