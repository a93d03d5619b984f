import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { addressPlan } from '../addressPlan.ts';
import type { BindMount, PodIdentity } from '../podNet.ts';

/** The pod's own files of /etc, written to the sandbox's folder; returns their mounts. */
export function writeHostFiles(dir: string, pod: PodIdentity, ip: string): BindMount[] {
  const hostname = pod.hostname ?? pod.name;
  const { clusterDomain, clusterDns } = addressPlan;
  const files: Record<string, string> = {
    hostname: `${hostname}\n`,
    hosts: [
      '# Kubernetes-managed hosts file.',
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      `${ip}\t${hostname}`,
      ...(pod.hostAliases ?? []).map((alias) => `${alias.ip}\t${alias.hostnames.join('\t')}`),
      '',
    ].join('\n'),
    'resolv.conf': [
      `search ${pod.namespace}.svc.${clusterDomain} svc.${clusterDomain} ${clusterDomain}`,
      `nameserver ${clusterDns}`,
      'options ndots:5',
      '',
    ].join('\n'),
    // The host's may name services (mDNS, systemd-resolved) that a pod cannot reach.
    'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n',
  };
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return Object.entries(files).map(([name, text]) => {
    const source = path.join(dir, name);
    writeFileSync(source, text, { mode: 0o644 });
    return { source, target: `/etc/${name}`, readOnly: name !== 'hosts' };
  });
}
