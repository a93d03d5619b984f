import { type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { CertificateAuthority, CertificateRequest } from './certificate.ts';
import { writePrivateFile } from './privateFile.ts';

const authorityDays = 3650;
const leafDays = 365;
/** A certificate with less life than this is issued again at the next start. */
const renewBeforeDays = 30;

/** The first address of the service range (10.96.0.0/16): ClusterIP of the `kubernetes` Service. */
export const kubernetesServiceIp = '10.96.0.1';

/** InternalIPs that nodes may have (10.240.0.1 to .64): the API server verifies kubelet certificates against them. */
const nodeAddresses = Array.from({ length: 64 }, (_, index) => `10.240.0.${index + 1}`);

interface NamedRequest extends CertificateRequest {
  /** File name below the PKI folder: `<name>.crt` and `<name>.key`. */
  name: string;
  authority: 'ca' | 'etcd-ca';
}

/** Every certificate of the control plane. Two authorities, so that no Kubernetes client certificate opens etcd. */
const requests: NamedRequest[] = [
  { name: 'etcd', authority: 'etcd-ca', commonName: 'etcd', usages: ['server', 'client'], dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] },
  { name: 'apiserver-etcd-client', authority: 'etcd-ca', commonName: 'kube-apiserver-etcd-client', usages: ['client'] },
  {
    name: 'apiserver',
    authority: 'ca',
    commonName: 'kube-apiserver',
    usages: ['server'],
    dnsNames: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
    ipAddresses: ['127.0.0.1', kubernetesServiceIp],
  },
  { name: 'kubelet-client', authority: 'ca', commonName: 'kube-apiserver-kubelet-client', organization: 'system:masters', usages: ['client'] },
  { name: 'front-proxy', authority: 'ca', commonName: 'front-proxy', usages: ['client'] },
  { name: 'admin', authority: 'ca', commonName: 'admin', organization: 'system:masters', usages: ['client'] },
  { name: 'kube-controller-manager', authority: 'ca', commonName: 'system:kube-controller-manager', usages: ['client'] },
  { name: 'kube-scheduler', authority: 'ca', commonName: 'system:kube-scheduler', usages: ['client'] },
  { name: 'node', authority: 'ca', commonName: 'system:node', usages: ['server'], dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', ...nodeAddresses] },
  { name: 'node-client', authority: 'ca', commonName: 'dynamo-labs:node-agent', organization: 'system:masters', usages: ['client'] },
];

/**
 * Makes what is missing, close to its end, or issued for other names; keeps the rest, so that a kubeconfig and the
 * ServiceAccount tokens stay valid over restarts. Files 0600 in a 0700 folder. Resolves with the names it wrote.
 */
export async function ensurePki(dir: string, now = new Date()): Promise<string[]> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const written: string[] = [];
  const save = async (name: string, pems: { certificatePem: string; privateKeyPem: string }): Promise<void> => {
    await writePrivateFile(path.join(dir, `${name}.key`), pems.privateKeyPem);
    await writePrivateFile(path.join(dir, `${name}.crt`), pems.certificatePem);
    written.push(name);
  };
  // Loaded only where something must be made: the library costs a warm start a tenth of a second.
  const library = () => import('./certificate.ts');
  for (const name of ['ca', 'etcd-ca'] as const) {
    const existing = readPair(dir, name);
    const usable = existing !== undefined && lives(new X509Certificate(existing.certificatePem), now, renewBeforeDays + leafDays);
    let authority: CertificateAuthority | undefined;
    if (!usable) {
      authority = await (await library()).CertificateAuthority.create(`dynamo-labs-${name}`, authorityDays);
      await save(name, authority);
    }
    const pair = authority ?? existing;
    if (pair === undefined) throw new Error(`no authority named ${name}`);
    const publicKey = new X509Certificate(pair.certificatePem).publicKey;
    for (const request of requests.filter((candidate) => candidate.authority === name)) {
      const files = readPair(dir, request.name);
      if (files !== undefined && matches(new X509Certificate(files.certificatePem), request, publicKey, now)) continue;
      authority ??= await (await library()).CertificateAuthority.load(pair.certificatePem, pair.privateKeyPem);
      await save(request.name, await authority.issue(request, leafDays));
    }
  }
  if (!existsSync(path.join(dir, 'sa.key')) || !existsSync(path.join(dir, 'sa.pub'))) {
    const keys = await (await library()).serviceAccountKeyPair();
    await writePrivateFile(path.join(dir, 'sa.key'), keys.privateKeyPem);
    await writePrivateFile(path.join(dir, 'sa.pub'), keys.publicKeyPem);
    written.push('sa');
  }
  return written;
}

function readPair(dir: string, name: string): { certificatePem: string; privateKeyPem: string } | undefined {
  const certificate = path.join(dir, `${name}.crt`);
  const key = path.join(dir, `${name}.key`);
  if (!existsSync(certificate) || !existsSync(key)) return undefined;
  return { certificatePem: readFileSync(certificate, 'utf8'), privateKeyPem: readFileSync(key, 'utf8') };
}

function lives(certificate: X509Certificate, now: Date, days: number): boolean {
  return certificate.validFromDate <= now && certificate.validToDate.getTime() - now.getTime() > days * 86_400_000;
}

function matches(certificate: X509Certificate, request: NamedRequest, authority: KeyObject, now: Date): boolean {
  const subject = [...(request.organization === undefined ? [] : [`O=${request.organization}`]), `CN=${request.commonName}`];
  const names = [...(request.dnsNames ?? []).map((name) => `DNS:${name}`), ...(request.ipAddresses ?? []).map((ip) => `IP Address:${ip}`)];
  return (
    lives(certificate, now, renewBeforeDays) &&
    certificate.verify(authority) &&
    certificate.subject === subject.join('\n') &&
    (certificate.subjectAltName ?? '') === names.join(', ')
  );
}
