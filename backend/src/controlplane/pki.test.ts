import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CertificateAuthority } from './certificate.ts';
import { ensurePki } from './pki.ts';
import { writePrivateFile } from './privateFile.ts';

const day = 86_400_000;

describe('ensurePki', () => {
  let dir: string;
  const certificate = (name: string): X509Certificate => new X509Certificate(readFileSync(path.join(dir, `${name}.crt`)));
  beforeEach(() => {
    dir = path.join(mkdtempSync(path.join(tmpdir(), 'dynamo-labs-pki-')), 'pki');
  });
  afterEach(() => rmSync(path.dirname(dir), { recursive: true }));

  it('makes certificates that their authority signed, for the names that clients dial, and writes nothing the second time', async () => {
    expect(await ensurePki(dir)).toContain('apiserver');
    const apiserver = certificate('apiserver');
    expect(apiserver.verify(certificate('ca').publicKey)).toBe(true);
    expect(apiserver.checkIP('10.96.0.1')).toBe('10.96.0.1');
    expect(apiserver.checkHost('kubernetes.default.svc')).toBe('kubernetes.default.svc');
    expect(certificate('node').checkIP('10.240.0.64')).toBe('10.240.0.64');
    expect(certificate('admin').subject).toBe('O=system:masters\nCN=admin');
    expect(certificate('apiserver-etcd-client').verify(certificate('ca').publicKey)).toBe(false);
    expect(await ensurePki(dir)).toEqual([]);
  });

  it('leaves every file to its owner alone', async () => {
    await ensurePki(dir);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(readdirSync(dir).filter((name) => (statSync(path.join(dir, name)).mode & 0o777) !== 0o600)).toEqual([]);
  });

  it('renews what is close to its end and keeps the authority', async () => {
    await ensurePki(dir);
    const authority = certificate('ca').fingerprint256;
    const written = await ensurePki(dir, new Date(Date.now() + 340 * day));
    expect(written).toContain('admin');
    expect(written).not.toContain('ca');
    expect(written).not.toContain('sa');
    expect(certificate('ca').fingerprint256).toBe(authority);
  });

  it('issues again what another authority signed or what has other names', async () => {
    await ensurePki(dir);
    const other = await CertificateAuthority.create('other', 30);
    const stranger = await other.issue({ commonName: 'admin', organization: 'system:masters', usages: ['client'] }, 365);
    await writePrivateFile(path.join(dir, 'admin.crt'), stranger.certificatePem);
    const authority = await CertificateAuthority.load(readFileSync(path.join(dir, 'ca.crt'), 'utf8'), readFileSync(path.join(dir, 'ca.key'), 'utf8'));
    const narrow = await authority.issue({ commonName: 'kube-apiserver', usages: ['server'], ipAddresses: ['127.0.0.1'] }, 365);
    await writePrivateFile(path.join(dir, 'apiserver.crt'), narrow.certificatePem);
    await writePrivateFile(path.join(dir, 'apiserver.key'), narrow.privateKeyPem);
    expect((await ensurePki(dir)).sort()).toEqual(['admin', 'apiserver']);
  });
});
