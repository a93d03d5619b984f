#!/usr/bin/env node
// The first thing that runs on a fresh machine: plain JavaScript for Node >= 20 without any package. It installs what the
// project needs into the project's own folders, then hands over to the command line in backend/src/cli with the pinned Node.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { projectDir, runtimeNode } from './setup/paths.mjs';
import { SetupError } from './setup/setupError.mjs';
import { setUp } from './setup/steps.mjs';

const [command = 'start', ...args] = process.argv.slice(2);
/** Commands that only look at, or end, what runs: nothing is installed for them. */
const withoutSetUp = ['stop', 'status', 'reset', 'help'];

try {
  const [major = 0] = process.versions.node.split('.').map(Number);
  if (major < 20)
    throw new SetupError(`Node ${process.versions.node} is too old to start Dynamo Labs: it needs Node 20 or newer.`, 'https://nodejs.org/en/download');
  if (withoutSetUp.includes(command)) {
    if (runtimeNode() === undefined || !existsSync(path.join(projectDir, 'node_modules', '.package-lock.json'))) {
      throw new SetupError('Dynamo Labs is not installed in this folder yet.', 'npm start');
    }
  } else {
    await setUp();
  }
  await handOver();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\n${error.message}\n${error.mend === undefined ? '' : `\n  ${error.mend}\n`}\n`);
  process.exitCode = 1;
}

/** Runs the command line and ends as it ends. The terminal's Ctrl-C reaches both processes: this one waits for the other. */
function handOver() {
  const cli = path.join(projectDir, 'backend', 'src', 'cli', 'main.ts');
  const child = spawn(runtimeNode(), ['--disable-warning=ExperimentalWarning', cli, command, ...args], {
    stdio: 'inherit',
    env: { NODE_COMPILE_CACHE: path.join(projectDir, '.tools', 'node-compile'), ...process.env },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // A terminal signals the whole group; npm and service managers signal one process. A second SIGTERM does no harm.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 143);
      resolve();
    });
  });
}
