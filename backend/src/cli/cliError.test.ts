import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { PortBusyError, ProcessStartError } from '../controlplane/index.ts';
import { ProvisionError } from '../controlplane/provision.ts';
import { CliError, explain } from './cliError.ts';

const system = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe('explain', () => {
  it('finds the full disk above the stacks of a panic', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'explain-'));
    try {
      const log = path.join(dir, 'etcd.log');
      writeFileSync(log, `panic: write wal: no space left on device\n${'main.f()\n\tfile.go:1\n'.repeat(40)}`);
      expect(explain(new ProcessStartError('etcd', 'ended with exit code 2', log)).message).toBe(
        'The disk is full: etcd ended with exit code 2: no space left on device.',
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it.each([
    ['a full disk', system('ENOSPC', 'ENOSPC: no space left on device, write'), /^The disk is full/, /df -h/],
    ['a full disk that a program met', new ProcessStartError('etcd', 'ended: write: no space left on device', '/none'), /^The disk is full/, /df -h/],
    ['a folder that cannot be written', system('EACCES', "EACCES: permission denied, mkdir '/state'"), /cannot be written/, /DYNAMO_LABS_HOME/],
    ['a state folder below a file', system('ENOTDIR', "ENOTDIR: not a directory, mkdir '/file/x'"), /cannot be written/, /DYNAMO_LABS_HOME/],
    ['a busy port', new PortBusyError(8888, 'DYNAMO_LABS_JUPYTER_PORT'), /Port 8888 .* is in use/, /ss -ltnp/],
    ['a program that could not be had', new ProvisionError('Kubernetes v1 is not on this machine', 'Connect'), /not on this machine/, /^Connect/],
    ['an error with its cure', new CliError('wrong', 'npm run right'), /^wrong$/, /^npm run right$/],
  ])('%s: what is wrong, and what mends it', (_, error, message, mend) => {
    const explained = explain(error);
    expect(explained.message).toMatch(message);
    expect(explained.mend).toMatch(mend);
  });
});
