import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EventText } from '../events/eventRecorder.ts';
import { CatalogueError, ImageCatalogue } from './imageCatalogue.ts';
import { ImageError, ImagePuller } from './imagePuller.ts';
import { defaultPullPolicy, parseImage } from './imageReference.ts';

const project = path.resolve(import.meta.dirname, '../../../..');
const shipped = ImageCatalogue.fromFile(path.join(project, 'assets/images/catalogue.yaml'), {
  project,
  cache: '/cache',
  node: '/node/bin',
  transfer: '/sockets/kv',
});

test.each([
  ['busybox', 'busybox', 'latest'],
  ['busybox:1.36', 'busybox', '1.36'],
  ['docker.io/library/busybox:1', 'busybox', '1'],
  ['docker.io/natsio/nats-box:0.14', 'natsio/nats-box', '0.14'],
  ['localhost:5000/a/b', 'localhost:5000/a/b', 'latest'],
  ['nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.1', 'nvcr.io/nvidia/ai-dynamo/vllm-runtime', '0.8.1'],
  [`alpine@sha256:${'a'.repeat(64)}`, 'alpine', `sha256:${'a'.repeat(64)}`],
])('%s is %s at %s', (image, name, tag) => expect(parseImage(image)).toEqual({ name, tag }));

test.each(['', 'UPPER', 'a b', 'a:', ':tag', 'a//b'])('"%s" is no image name', (image) => expect(parseImage(image)).toBeUndefined());

test('latest is always pulled, a version only when absent', () => {
  expect([defaultPullPolicy('a'), defaultPullPolicy('a:latest'), defaultPullPolicy('a:1')]).toEqual(['Always', 'Always', 'IfNotPresent']);
});

describe('the shipped catalogue', () => {
  test.each([
    'nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.1',
    'nats:2.12-alpine',
    'docker.io/library/nats:2',
    'natsio/nats-box:latest',
    'busybox',
    'alpine:3',
    'curlimages/curl:8.1',
    'dynamo-labs/operator:0.1.0',
  ])('has %s', (image) => {
    expect(shipped.resolve(image)).toBeDefined();
  });

  test('fills in variables, and gives each tag an id of its own', () => {
    const [one, two] = ['0.8.1', '0.9.0'].map((tag) => shipped.resolve(`nvcr.io/nvidia/ai-dynamo/vllm-runtime:${tag}`));
    expect(one?.env).toMatchObject({ DYNAMO_LABS_MODELS: '/cache/models', DYNAMO_LABS_RUNTIME_VERSION: '0.8.1' });
    expect(one?.path).toEqual([path.join(project, 'assets/images/bin/vllm-runtime'), '/node/bin']);
    expect(one?.id).toMatch(/@sha256:[0-9a-f]{64}$/);
    expect(one?.id).not.toBe(two?.id);
  });

  test('gives the runtime, and nothing else, writable folders for KV transfers and packed weights', () => {
    const writable = (image: string) => shipped.resolve(image)?.mounts.filter(({ readOnly }) => readOnly === false);
    expect(writable('nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.0')).toEqual([
      { source: '/cache/packed', target: '/cache/packed', readOnly: false },
      { source: '/sockets/kv', target: '/run/kv-transfer', readOnly: false },
    ]);
    expect(shipped.resolve('nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.8.0')?.env['DYNAMO_LABS_TRANSFER_DIR']).toBe('/run/kv-transfer');
    for (const image of ['busybox', 'dynamo-labs/operator:0.1.0', 'nats:2', 'natsio/nats-box:0.14']) expect(writable(image)).toEqual([]);
  });

  test('knows no other image', () => {
    expect(shipped.resolve('nginx')).toBeUndefined();
    expect(shipped.resolve('notbusybox')).toBeUndefined();
  });
});

test('a mistake in the file is named', () => {
  expect(() => new ImageCatalogue('images: [{match: a, entrypiont: [x]}]', {})).toThrow(CatalogueError);
  expect(() => new ImageCatalogue('images: [{match: a, entrypiont: [x]}]', {})).toThrow(/entrypiont/);
});

describe('pulling', () => {
  function pull(puller: ImagePuller, image: string, imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never'): string[] {
    const events: EventText[] = [];
    try {
      puller.ensure('uid', { name: 'main', image, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }) }, (event) => events.push(event));
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      events.push({ type: 'Warning', reason: error.reason, message: 'thrown' });
    }
    return events.map((event) => event.reason);
  }

  test('once, then present; Always again', () => {
    const puller = new ImagePuller(shipped);
    expect(pull(puller, 'busybox:1')).toEqual(['Pulling', 'Pulled']);
    expect(pull(puller, 'busybox:1')).toEqual(['Pulled']);
    expect(pull(puller, 'busybox:1', 'Always')).toEqual(['Pulling', 'Pulled']);
  });

  test('what is not there: ErrImagePull, then back-off; Never says so; a bad name is refused', () => {
    const puller = new ImagePuller(shipped);
    expect(pull(puller, 'nothing:1')).toEqual(['Pulling', 'Failed', 'Failed', 'ErrImagePull']);
    expect(pull(puller, 'nothing:1')).toEqual(['BackOff', 'Failed', 'ImagePullBackOff']);
    expect(pull(puller, 'nothing:1', 'Never')).toEqual(['ErrImageNeverPull', 'Failed', 'ErrImageNeverPull']);
    expect(pull(puller, 'Bad Name')).toEqual(['InspectFailed', 'InvalidImageName']);
  });
});
