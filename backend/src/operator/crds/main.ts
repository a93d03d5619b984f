import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { defaultCredentials, KubeClient } from '../../kube/index.ts';
import { generateCrds } from './generateCrds.ts';

const client = new KubeClient(defaultCredentials());
const target = path.resolve(import.meta.dirname, '../../../../assets/crds');
for (const [file, text] of await generateCrds(client)) {
  writeFileSync(path.join(target, file), text);
  console.log(`${path.relative(process.cwd(), path.join(target, file))}: ${text.length} bytes`);
}
client.close();
