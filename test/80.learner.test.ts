import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Browser, Locator, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readRecord, stateLayout } from '../backend/src/controlplane/index.ts';
import { launchBrowser, runCommand, screenshot } from './support/browser.ts';
import { startStack, type Stack } from './support/stack.ts';

const notebook = '03-kv-aware-routing/lab.ipynb';

let stack: Stack;
let browser: Browser;
let page: Page;
let before: string;

/** One learner, one browser, the whole product: steps depend on each other, in this order. */
beforeAll(async () => {
  stack = await startStack({ components: ['controlplane', 'nodeagent', 'operator', 'backend', 'jupyter'], env: { DYNAMO_LABS_EXPOSE_LAB: '1' } });
  before = await readFile(path.join(stack.home, 'work', notebook), 'utf8');
  browser = await launchBrowser();
  page = await browser.newPage({ viewport: { width: 1500, height: 950 } });
}, 240_000);

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await screenshot(page, `failed-learner-${task.name.replaceAll(/\W+/g, '-').slice(0, 60)}`);
});

afterAll(async () => {
  await browser?.close();
  await stack?.close();
});

const row = (title: string): Locator => page.locator('.dl-Row', { hasText: title });
const cells = (step: string): Locator => page.locator(`.jp-Notebook .jp-CodeCell:has(.jp-InputArea)`).filter({ hasText: step });

/** Runs the code cell that contains `text` and waits until the kernel is done with it. */
async function runCell(text: string, deadlineMs = 120_000): Promise<Locator> {
  const cell = cells(text).first();
  await cell.scrollIntoViewIfNeeded();
  await cell.locator('.jp-InputPrompt').click();
  await runCommand(page, 'notebook:run-cell');
  await expect.poll(() => cell.locator('.jp-InputPrompt').first().textContent(), { timeout: deadlineMs }).toMatch(/\[\d+\]/);
  return cell;
}

async function check(title: string, verdict: string, deadlineMs = 90_000): Promise<Locator> {
  const found = row(title);
  await found.scrollIntoViewIfNeeded();
  await found.getByRole('button', { name: 'Check' }).click();
  await found.getByRole('status').getByText(verdict, { exact: true }).waitFor({ timeout: deadlineMs });
  return found;
}

describe('a learner takes the KV-aware routing lab', () => {
  it('opens the printed URL: the notebook, and the Labs panel with its steps', async () => {
    await page.goto(stack.local.url ?? '');
    await page.locator('#jupyterlab-splash').waitFor({ state: 'detached', timeout: 90_000 });
    await page.locator('.dl-Panel').getByRole('heading', { name: 'KV-aware routing' }).waitFor({ timeout: 60_000 });
    expect(await page.locator('.dl-Panel .dl-Step').count()).toBe(12);
    await screenshot(page, 'learner-1-open');
  });

  it('checks too early and sees what is missing; the notebook file stays as it was', async () => {
    const found = await check('Give the workers a place', 'not yet');
    await found.getByText('no pod nats-0').waitFor();
    await screenshot(page, 'learner-2-not-yet');
    expect(await readFile(path.join(stack.home, 'work', notebook), 'utf8')).toBe(before);
  });

  it('runs the first cell: the state of the lab', async () => {
    const first = await runCell('lab.overview(labId)');
    await first.getByText('KV-aware routing: 0 of 12 steps passed').waitFor();
  });

  it('does the step and sees it pass, with evidence', async () => {
    await runCell("k8s.apply('manifests/nats.yaml'");
    const found = await check('Give the workers a place', 'passed');
    expect(await found.textContent()).not.toContain('no pod nats-0');
    const body = page.locator('.dl-Panel .dl-Step-body');
    await body.getByText('It may keep 1 GiB on disk').click();
    await body.getByText('GET /varz of nats-0: jetstream.config').first().click();
    await body.getByText('"max_storage": 1073741824').last().waitFor();
    await screenshot(page, 'learner-3-passed');
  });

  it('publishes a message from a pod', async () => {
    await runCell('kubectl run nats-test');
    await check('Send a message', 'passed');
  });

  it('deploys the graph and sees it live', async () => {
    await runCommand(page, 'dynamo-labs:open-topology');
    await page.locator('.dl-Topology-frame').waitFor();
    await runCommand(page, 'docmanager:open', { path: notebook });
    await runCell("k8s.apply('manifests/vllm-kv-demo.yaml'", 240_000);
    await check('Deploy two workers', 'passed');
    await runCommand(page, 'dynamo-labs:open-topology');
    const view = page.locator('.dl-Topology-frame');
    await view.getByText('Frontend', { exact: true }).waitFor();
    await expect.poll(() => view.getByText('VllmWorker', { exact: true }).count()).toBe(2);
    await expect.poll(() => view.getByText('Ready', { exact: true }).count()).toBe(3);
    await screenshot(page, 'learner-4-topology');
    await runCommand(page, 'docmanager:open', { path: notebook });
  });

  it('counts GPUs, opens the door, and asks the first question', async () => {
    await runCell('const allocatable');
    await check('Count the GPUs', 'passed');
    await runCell("k8s.apply('manifests/frontend-nodeport.yaml'");
    await check('Open a door', 'passed');
    await runCell("requestId: 'first-1'");
    await check('Ask a question that nobody has cached', 'passed');
  });

  it('warms a prefix and sees the decision that reused it', async () => {
    await runCell('const briefing');
    await check('Ask again', 'passed');
    await runCell("show.decision('warm-2')");
    await screenshot(page, 'learner-5-decision');
    await runCell("ask('physics-1'");
    await check('Reuse a system prompt', 'passed');
  });

  it('hands in a wrong cost, sees the hint, corrects it, and passes', async () => {
    const cell = await runCell('const cachedTokens = 0');
    await check('Compute the router', 'not yet');
    const solved = 'const cachedTokens = decision.chosen.overlap_blocks * decision.block_size';
    await cell.locator('.cm-content').click();
    await page.evaluate((text) => {
      type Model = { sharedModel: { getSource(): string; setSource(text: string): void } };
      const { shell } = (globalThis as unknown as { jupyterapp: { shell: { currentWidget: { content: { activeCell: { model: Model } } } } } }).jupyterapp;
      const { sharedModel } = shell.currentWidget.content.activeCell.model;
      sharedModel.setSource(sharedModel.getSource().replace('const cachedTokens = 0', text));
    }, solved);
    await runCell('const cachedTokens = decision');
    await check('Compute the router', 'passed');
    await screenshot(page, 'learner-6-cost');
  });

  it('finishes the lab: load, workloads, and a cache that stays where it is', async () => {
    await runCell('Promise.all(Array.from');
    await check('Let load argue', 'passed');
    await runCell('const sharedText');
    await check('Find out when it helps', 'passed');
    await runCell("ask('away-1'");
    await check('Show that the KV cache stays', 'passed');
    await page.locator('.dl-Panel').getByText('12 of 12 steps').first().waitFor();
    await screenshot(page, 'learner-7-done');
  });

  it('is the same in the dark theme, and after a reload', async () => {
    await runCommand(page, 'apputils:change-theme', { theme: 'JupyterLab Dark' });
    await page.locator('body[data-jp-theme-light="false"]').waitFor({ state: 'attached' });
    await runCommand(page, 'dynamo-labs:open-topology');
    await screenshot(page, 'learner-8-dark-topology');
    await runCommand(page, 'docmanager:open', { path: notebook });
    await screenshot(page, 'learner-9-dark');
    await page.reload();
    await page.locator('.dl-Panel').getByText('12 of 12 steps').first().waitFor({ timeout: 60_000 });
  });

  it('keeps the progress when backend and JupyterLab are killed and come back', async () => {
    const layout = stateLayout({ DYNAMO_LABS_HOME: stack.home });
    const running = (name: string): number | undefined => readRecord(layout)?.processes.find((entry) => entry.name === name && entry.state === 'running')?.pid;
    for (const name of ['backend', 'jupyter']) {
      const pid = running(name);
      process.kill(pid!, 'SIGKILL');
      await expect.poll(() => running(name) ?? pid, { timeout: 60_000 }).not.toBe(pid);
    }
    await expect
      .poll(
        () =>
          page.goto(stack.local.url ?? '').then(
            (answer) => answer?.status(),
            () => undefined,
          ),
        { timeout: 60_000 },
      )
      .toBe(200);
    await page.locator('.dl-Panel').getByText('12 of 12 steps').first().waitFor({ timeout: 60_000 });
  });
});
