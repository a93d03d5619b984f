/**
 * Records what Dynamo's RadixTree answers to random scenarios, for dynamoRadixTree.test.ts:
 *
 *     DYNAMO_LABS_DYNAMO_PYTHON=v/bin/python node test/peers/recordDynamoRadixTree.ts
 */
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { dynamoPython } from './dynamoPython.ts';
import { startRadixTreePeer } from './dynamoRadixTreePeer.ts';
import type { RadixTreeRecording } from './dynamoRadixTreeReplay.ts';
import { radixTreeScenarios } from './dynamoRadixTreeScenario.ts';

const SEED = 1;
const SCENARIOS = 300;

const found = dynamoPython();
if ('missing' in found) throw new Error(found.missing);
const peer = startRadixTreePeer(found.python);
const recording: RadixTreeRecording = { dynamo: await peer.version(), seed: SEED, scenarios: [] };
for (const scenario of fc.sample(radixTreeScenarios(), { seed: SEED, numRuns: SCENARIOS })) {
  recording.scenarios.push({ scenario, answers: await peer.answers(scenario) });
}
await peer.close();
writeFileSync(new URL('dynamo-radix-tree.json.gz', import.meta.url), gzipSync(JSON.stringify(recording), { level: 9 }));
