import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { dynamoPython } from './dynamoPython.ts';
import { replayScenario, type SelectionRecording } from './selectionReplay.ts';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const peer = dynamoPython();
if ('missing' in peer) console.warn(`skipping the live comparison with Dynamo's SelectionService: ${peer.missing}`);

function compare(recording: SelectionRecording): { selections: number; ties: number; differences: string[] } {
  const reports = recording.scenarios.map((scenario) => replayScenario(scenario, recording));
  return {
    selections: reports.reduce((sum, { selections }) => sum + selections, 0),
    ties: reports.reduce((sum, { ties }) => sum + ties, 0),
    differences: reports.flatMap(({ differences }, i) =>
      differences.map((difference) => `scenario ${i} ${JSON.stringify(recording.scenarios[i]!.weights)} ${difference}`),
    ),
  };
}

describe("the router beside Dynamo's SelectionService", () => {
  it('sees the same overlaps and loads and makes the same choice in more than 10,000 recorded states', () => {
    const recording = JSON.parse(gunzipSync(readFileSync(here('dynamo-selection.json.gz'))).toString()) as SelectionRecording;
    const { selections, ties, differences } = compare(recording);
    expect(recording.dynamo).toBe('1.6.1');
    expect(selections).toBeGreaterThan(10_000);
    expect(selections - ties, 'states with one best worker').toBeGreaterThan(9_000);
    expect(differences).toEqual([]);
  }, 120_000);

  it.skipIf('missing' in peer)(
    'and in new random states, live',
    async () => {
      if ('missing' in peer) return;
      const seed = Math.floor(Math.random() * 1e9);
      const args = [here('record_dynamo_selection.py'), '--seed', String(seed), '--scenarios', '7'];
      const { stdout } = await promisify(execFile)(peer.python, args, { maxBuffer: 1 << 28, timeout: 120_000 });
      expect({ seed, differences: compare(JSON.parse(stdout) as SelectionRecording).differences }).toEqual({ seed, differences: [] });
    },
    150_000,
  );
});
