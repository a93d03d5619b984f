import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MapPrefixIndex, type PrefixIndex } from '../../backend/src/router/index.ts';
import { nativeKernels } from '../../backend/src/router/native/nativeKernels.ts';
import { dynamoPython } from './dynamoPython.ts';
import { startRadixTreePeer } from './dynamoRadixTreePeer.ts';
import { compareAnswers, type RadixTreeRecording, replayScenario } from './dynamoRadixTreeReplay.ts';
import { radixTreeScenarios } from './dynamoRadixTreeScenario.ts';

const peer = dynamoPython();
if ('missing' in peer) console.warn(`skipping the live comparison with Dynamo's RadixTree: ${peer.missing}`);

const IMPLEMENTATIONS: [string, () => PrefixIndex][] = [
  ['TypeScript', () => new MapPrefixIndex()],
  ['native', () => nativeKernels().createIndex()],
];

describe.each(IMPLEMENTATIONS)("the %s index beside Dynamo's RadixTree", (_, createIndex) => {
  it('finds the same workers and depths, and refuses the same events, in recorded scenarios', () => {
    const fixture = readFileSync(new URL('dynamo-radix-tree.json.gz', import.meta.url));
    const { dynamo, scenarios } = JSON.parse(gunzipSync(fixture).toString()) as RadixTreeRecording;
    expect(dynamo).toBe('1.6.1');
    let finds = 0;
    let matches = 0;
    let refusals = 0;
    for (const [at, { scenario, answers }] of scenarios.entries()) {
      expect({ at, differences: compareAnswers(scenario, replayScenario(createIndex(), scenario), answers) }).toEqual({ at, differences: [] });
      for (const answer of answers) {
        if (typeof answer === 'string') refusals += answer === '' ? 0 : 1;
        else finds++;
        matches += Array.isArray(answer) && answer.length > 1 ? 1 : 0;
      }
    }
    expect(finds).toBeGreaterThan(10_000);
    expect(matches, 'finds that meet several ranks').toBeGreaterThan(2_000);
    expect(refusals, 'orphans and unknown blocks').toBeGreaterThan(500);
  });

  it.skipIf('missing' in peer)(
    'and in new random ones, live; the seed and the shortest scenario that differs are printed',
    async () => {
      if ('missing' in peer) return;
      const tree = startRadixTreePeer(peer.python);
      try {
        const same = fc.asyncProperty(radixTreeScenarios(), async (scenario) => {
          expect(compareAnswers(scenario, replayScenario(createIndex(), scenario), await tree.answers(scenario))).toEqual([]);
        });
        await fc.assert(same, { numRuns: 500, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false });
      } finally {
        await tree.close();
      }
    },
    120_000,
  );
});
