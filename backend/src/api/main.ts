import { readFileSync } from 'node:fs';
import path from 'node:path';
import { stateLayout } from '../controlplane/stateLayout.ts';
import { startBackend } from './backend.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const layout = stateLayout();
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string };
const backend = await startBackend({
  layout,
  version,
  kubeconfig: process.env['KUBECONFIG'] ?? layout.kubeconfig,
  labsDir: process.env['DYNAMO_LABS_LABS_DIR'] ?? path.join(root, 'labs'),
});
console.log(`backend listens on ${backend.socket}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void backend.close().then(() => process.exit(0)));
}
