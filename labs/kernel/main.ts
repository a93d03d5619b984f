/**
 * The `tslab` kernel of Dynamo Labs: tslab's type checker and executor behind a message loop of our own.
 * Called by Jupyter as `node main.ts --config-path <connection file>`; the notebook's folder is the working directory.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { CellRunner } from './cellRunner.ts';
import { KernelServer } from './kernelServer.ts';
import type { ConnectionInfo } from './kernelServer.ts';
import { endWithParent } from './orphanWatch.ts';
import { loadTslab } from './tslabModules.ts';

const connectionFile = process.argv[process.argv.indexOf('--config-path') + 1];
if (!process.argv.includes('--config-path') || connectionFile === undefined) {
  console.error('usage: node main.ts --config-path <connection file>');
  process.exit(2);
}
const connection = JSON.parse(readFileSync(connectionFile, 'utf8')) as ConnectionInfo;

endWithParent();
const tslab = loadTslab(path.resolve(import.meta.dirname, '../..'));
const runner = new CellRunner(tslab);
const server = new KernelServer({
  connection,
  tslab,
  runner,
  // Learners leave timers and sockets open: do not wait for them, only for the last messages.
  onShutdown: () => {
    runner.close();
    server.close();
    setTimeout(() => process.exit(0), 100);
  },
});
process.on('SIGINT', () => runner.interrupt());
process.on('uncaughtException', (error) => runner.reportLateError(error));
process.on('unhandledRejection', (error) => runner.reportLateError(error));
await server.listen();
