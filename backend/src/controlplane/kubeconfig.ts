import { readFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { writePrivateFile } from './privateFile.ts';

/** Writes a kubeconfig (0600) that carries its certificates inside, so that it works from any folder. */
export async function writeKubeconfig(options: { file: string; server: string; pki: string; user: string }): Promise<void> {
  const data = (name: string): string => readFileSync(path.join(options.pki, name)).toString('base64');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'dynamo-labs', cluster: { server: options.server, 'certificate-authority-data': data('ca.crt') } }],
    users: [{ name: options.user, user: { 'client-certificate-data': data(`${options.user}.crt`), 'client-key-data': data(`${options.user}.key`) } }],
    contexts: [{ name: 'dynamo-labs', context: { cluster: 'dynamo-labs', user: options.user } }],
    'current-context': 'dynamo-labs',
  };
  await writePrivateFile(options.file, stringify(config, { lineWidth: 0 }));
}
