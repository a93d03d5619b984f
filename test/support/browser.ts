import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { chromium } from 'playwright';
import type { Browser, Page } from 'playwright';

import type { JupyterServer } from './jupyterServer.ts';
import { packagedChromium } from './packagedChromium.ts';

const flags = ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--disable-background-networking'];

/** Chromium from PATH, else the one inside the npm package `@sparticuz/chromium`: neither needs a download. */
export async function launchBrowser(): Promise<Browser> {
  const onPath = (process.env['PATH'] ?? '')
    .split(path.delimiter)
    .flatMap((folder) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => path.join(folder, name)));
  const found = onPath.find((file) => existsSync(file));
  if (found !== undefined) return await chromium.launch({ executablePath: found, args: flags });
  const { executablePath, env } = packagedChromium();
  // Its headless shell has no zygote.
  return await chromium.launch({ executablePath, args: [...flags, '--no-zygote'], env: { ...(process.env as Record<string, string>), ...env } });
}

/** Pictures of what a learner sees, kept as CI artefacts. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = path.resolve(import.meta.dirname, '../artifacts');
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

/** JupyterLab with a notebook open, as the printed URL opens it. */
export async function openLab(page: Page, jupyter: JupyterServer, notebook: string): Promise<void> {
  await page.goto(new URL(`lab/tree/${notebook}?token=${jupyter.token}&reset`, jupyter.url).href);
  await page.locator('#jupyterlab-splash').waitFor({ state: 'detached', timeout: 90_000 });
  await page.locator('.jp-Notebook .jp-CodeCell').first().waitFor({ timeout: 60_000 });
}

/** JupyterLab's application object in the page (`--LabApp.expose_app_in_browser`). */
export async function runCommand(page: Page, command: string, args: Record<string, unknown> = {}): Promise<void> {
  await page.evaluate(
    ([id, values]) =>
      (globalThis as unknown as { jupyterapp: { commands: { execute(id: unknown, args: unknown): Promise<unknown> } } }).jupyterapp.commands
        .execute(id, values)
        .then(() => undefined),
    [command, args] as const,
  );
}
