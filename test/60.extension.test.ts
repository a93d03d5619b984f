import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Browser, Locator, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { notebookFromMarkdown, notebookText } from '../labs/notebook/labMarkdown.ts';
import { launchBrowser, openLab, runCommand, screenshot } from './support/browser.ts';
import { errorReport, failingReport, passingReport } from './support/courseFixture.ts';
import { FakeBackend } from './support/fakeBackend.ts';
import { JupyterServer } from './support/jupyterServer.ts';
import { labTextFixture } from './support/labTextFixture.ts';

const lab = '03-kv-aware-routing';
const notebook = `${lab}/lab.ipynb`;
let home: string;
let backend: FakeBackend;
let jupyter: JupyterServer;
let browser: Browser;
let page: Page;
const pageErrors: string[] = [];

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'dynamo-labs-extension-'));
  await mkdir(path.join(home, 'work', lab), { recursive: true });
  await writeFile(path.join(home, 'work', notebook), notebookText(notebookFromMarkdown(labTextFixture, lab)));
  backend = await FakeBackend.start(home);
  jupyter = await JupyterServer.start({ home });
  browser = await launchBrowser();
  page = await browser.newPage({ viewport: { width: 1500, height: 950 } });
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await openLab(page, jupyter, notebook);
  await row('Deploy the graph').waitFor();
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await screenshot(page, `failed-${task.name.replaceAll(/\W+/g, '-').slice(0, 60)}`);
});

afterAll(async () => {
  await browser?.close();
  await jupyter?.[Symbol.asyncDispose]();
  await backend?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const row = (title: string): Locator => page.locator('.dl-Row', { hasText: title });
const panel = (): Locator => page.locator('.dl-Panel');
const stepLine = (title: string): Locator => panel().locator('.dl-Step-line', { hasText: title });
/** What JupyterLab thinks of the open notebook. */
const isDirty = (): Promise<boolean> =>
  page.evaluate(() => {
    const { shell } = (globalThis as unknown as { jupyterapp: { shell: { currentWidget: { context: { model: { dirty: boolean } } } } } }).jupyterapp;
    return shell.currentWidget.context.model.dirty;
  });
/** The kernel answers: whatever JupyterLab takes over from it has been taken over. */
const kernelIsIdle = async (): Promise<void> => {
  type App = { shell: { currentWidget?: { context?: { sessionContext: { session?: { kernel?: { status: string } } } } } } };
  const idle = (): boolean =>
    (globalThis as unknown as { jupyterapp: App }).jupyterapp.shell.currentWidget?.context?.sessionContext.session?.kernel?.status === 'idle';
  await page.waitForFunction(idle, undefined, { timeout: 60_000 });
};

test('the panel opens by itself with the lab of the open notebook', async () => {
  await panel().getByRole('heading', { name: 'KV-aware routing' }).waitFor();
  expect(await panel().locator('.dl-Step').count()).toBe(6);
  expect(await panel().getByText('0 of 6 steps · about 1 h left').isVisible()).toBe(true);
  expect(await page.getByText('Labs: cluster ready · 0/6').isVisible()).toBe(true);
  await screenshot(page, 'lab-open-light');
});

test('each step has one check row, below its last cell', async () => {
  expect(await page.locator('.dl-Row').count()).toBe(3);
  const cells = page.locator('.jp-Cell', { has: page.locator('.dl-Row') });
  expect(await cells.nth(0).textContent()).toContain('kind: Namespace');
  expect(await cells.nth(1).textContent()).toContain('show.topology()');
  expect(await cells.nth(2).textContent()).toContain('What do you expect');
  const input = await cells.nth(1).locator('.jp-Cell-inputWrapper').boundingBox();
  const below = await row('Deploy the graph').boundingBox();
  expect(below!.y).toBeGreaterThanOrEqual(input!.y + input!.height);
});

test('a failed check says what was expected and what was seen, in the row and in the panel', async () => {
  backend.outcomes.set('deploy', [failingReport(lab, 'deploy'), passingReport(lab, 'deploy')]);
  await row('Deploy the graph').getByRole('button', { name: 'Check' }).click();
  await row('Deploy the graph').getByRole('status').getByText('not yet').waitFor();
  expect(await row('Deploy the graph').getByText('1 ready worker; the other waits in ImagePullBackOff').isVisible()).toBe(true);
  expect(await row('Deploy the graph').getByRole('status').textContent()).toBe('not yet');
  // The panel follows the cell that the learner is in.
  expect(await stepLine('Deploy the graph').getAttribute('aria-expanded')).toBe('true');
  const body = panel().locator('.dl-Step-body');
  expect(await body.getByText('1 of 3 assertions hold').isVisible()).toBe(true);
  expect(await body.getByText('mode round-robin').isVisible()).toBe(true);
  await body.getByText('GET /api/v1/namespaces/dynamo-cloud/pods').click();
  expect(await body.getByText('"reason": "ImagePullBackOff"').isVisible()).toBe(true);
  await screenshot(page, 'check-failed-light');
});

test('the next check passes and moves the progress', async () => {
  await row('Deploy the graph').getByRole('button', { name: 'Check' }).click();
  await row('Deploy the graph').getByText('passed', { exact: true }).waitFor();
  await panel().getByText('1 of 6 steps · about 50 min left').waitFor();
  expect(await panel().getByRole('progressbar').getAttribute('aria-valuetext')).toBe('1 of 6 steps passed');
});

test('a check that could not look is no failure of the learner', async () => {
  backend.outcomes.set('nats', [errorReport(lab, 'nats')]);
  await row('Install NATS').getByRole('button', { name: 'Check' }).click();
  await row('Install NATS').getByText('could not look').waitFor();
  expect(await row('Install NATS').getByText('This is not your doing').isVisible()).toBe(true);
});

test('the keyboard checks the step of the active cell', async () => {
  backend.outcomes.set('first-request', [passingReport(lab, 'first-request')]);
  await page.locator('.jp-Notebook .jp-CodeCell', { hasText: "'first-request'" }).locator('.jp-InputPrompt').click();
  await page.keyboard.press('Control+Alt+c');
  await row('Send the first request').getByText('passed', { exact: true }).waitFor();
});

test('hints come one by one and are still there after a reload; the solution shows', async () => {
  await stepLine('Install NATS').click();
  await panel().getByRole('button', { name: 'Hint 1 of 3' }).click();
  await panel().getByText('(hint 1)').waitFor();
  await panel().getByRole('button', { name: 'Hint 2 of 3' }).click();
  await panel().getByText('(hint 2)').waitFor();
  await panel().getByRole('button', { name: 'Solution' }).click();
  await panel().getByText('Apply the graph:').waitFor();
  await page.reload();
  await row('Install NATS').waitFor();
  await stepLine('Install NATS').waitFor();
  if ((await stepLine('Install NATS').getAttribute('aria-expanded')) === 'false') await stepLine('Install NATS').click();
  await panel().getByText('(hint 2)').waitFor();
  expect(await panel().getByText('(hint 1)').isVisible()).toBe(true);
});

test('solving and resetting ask first; cancel changes nothing', async () => {
  await panel().getByRole('button', { name: 'Solve it for me' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  expect(backend.step(lab, 'nats').state).toBe('error');
  await panel().getByRole('button', { name: 'Solve it for me' }).click();
  await page.locator('.jp-Dialog').getByRole('button', { name: 'Solve' }).click();
  await row('Install NATS').getByText('passed', { exact: true }).waitFor();
  await panel().getByRole('button', { name: 'Reset this step' }).click();
  await page.locator('.jp-Dialog').getByRole('button', { name: 'Reset' }).click();
  await row('Install NATS').getByText('to do').waitFor();
  expect(await panel().getByText('(hint 1)').count()).toBe(0);
});

test('taking the lab changes neither the notebook nor its file', async () => {
  await kernelIsIdle();
  expect(await isDirty()).toBe(false);
  expect(await readFile(path.join(home, 'work', notebook), 'utf8')).toBe(notebookText(notebookFromMarkdown(labTextFixture, lab)));
});

test('notebook cells run with the kit and show its pictures', async () => {
  await kernelIsIdle();
  await runCommand(page, 'notebook:run-all-cells');
  await page.locator('.jp-OutputArea-output svg', { hasText: 'VllmDecodeWorker' }).waitFor({ timeout: 60_000 });
  await page.locator('.jp-OutputArea-output', { hasText: 'Passed' }).waitFor({ timeout: 60_000 });
});

test('the topology follows events, rests while hidden, and is up to date when seen again', async () => {
  await runCommand(page, 'dynamo-labs:open-topology');
  const edge = (text: string): Locator => page.locator('.react-flow__edge', { hasText: text });
  await edge('31 requests').waitFor();
  await page.locator('.dl-Topology').getByText('Live').waitFor();
  const publish = (requests: number): void => {
    backend.topology = structuredClone(backend.topology);
    backend.topology.graphs[0]!.edges[0]!.requests = requests;
    backend.publish({ type: 'topology', topology: backend.topology });
  };
  publish(77);
  await edge('77 requests').waitFor();
  await screenshot(page, 'topology-light');

  await runCommand(page, 'application:set-mode', { mode: 'single-document' });
  await runCommand(page, 'docmanager:open', { path: notebook });
  await page.locator('.dl-Topology').waitFor({ state: 'hidden' });
  publish(91);
  await runCommand(page, 'dynamo-labs:open-topology');
  await edge('91 requests').waitFor();
  await runCommand(page, 'application:set-mode', { mode: 'multiple-document' });
});

test('a broken event stream is resumed behind the last event seen', async () => {
  backend.publish({ type: 'topology', topology: backend.topology });
  const before = backend.seen.filter(({ path: route }) => route.startsWith('/api/events')).length;
  backend.dropStreams();
  Object.assign(backend.step(lab, 'distribution'), { state: 'failed' });
  backend.publish({ type: 'step', lab, step: backend.step(lab, 'distribution') });
  await stepLine('Spread the load').getByText('not yet').waitFor();
  const lastEventId = (): unknown => backend.seen.filter(({ path: route }) => route.startsWith('/api/events'))[before]?.headers['last-event-id'];
  await expect.poll(lastEventId, { timeout: 20_000 }).toMatch(/^[1-9]\d*$/);
});

test('without an event stream the views ask by themselves', async () => {
  backend.withoutEvents = true;
  backend.dropStreams();
  await page.locator('.dl-Topology').getByText('Asking every few seconds').waitFor();
  backend.topology = structuredClone(backend.topology);
  backend.topology.graphs[0]!.edges[0]!.requests = 123;
  await page.locator('.react-flow__edge', { hasText: '123 requests' }).waitFor();
  backend.withoutEvents = false;
  await page.locator('.dl-Topology').getByText('Live').waitFor({ timeout: 60_000 });
});

test('the topology is also a table', async () => {
  await runCommand(page, 'dynamo-labs:open-topology');
  await page.getByRole('button', { name: 'Show as table' }).click();
  const line = page.locator('.dl-TopologyTable tr', { hasText: 'wk2vc' });
  expect(await line.textContent()).toContain('ImagePullBackOff');
  await page.getByRole('button', { name: 'Show as picture' }).click();
});

test('a backend that goes away is said, and its return needs no reload', async () => {
  await backend[Symbol.asyncDispose]();
  await panel().getByRole('alert').getByText('does not answer').waitFor();
  await page.getByText('Labs: backend down').waitFor();
  expect(await stepLine('Deploy the graph').textContent()).toContain('passed');
  await screenshot(page, 'backend-down-light');
  const labs = backend.labs;
  backend = await FakeBackend.start(home);
  backend.labs = labs;
  backend.step(lab, 'cost').state = 'passed';
  await page.getByText('Labs: cluster ready · 3/6').waitFor({ timeout: 60_000 });
  expect(await panel().getByRole('alert').count()).toBe(0);
});

test('the dark theme and the list of labs', async () => {
  await runCommand(page, 'apputils:change-theme', { theme: 'JupyterLab Dark' });
  await page.locator('body[data-jp-theme-light="false"]').waitFor({ state: 'attached' });
  await page.locator('.react-flow__edge').first().waitFor({ state: 'attached' });
  await screenshot(page, 'topology-dark');
  await panel().getByRole('button', { name: 'All labs' }).click();
  await panel().getByText('Not here: needs four workers').waitFor();
  await screenshot(page, 'labs-dark');
});

test('no error was thrown in the page', () => expect(pageErrors).toEqual([]));
