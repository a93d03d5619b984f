// `nslookup NAME` in busybox' words: the first name of the search list that has addresses, and those.
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';

const [name, ...rest] = process.argv.slice(2);
if (name === undefined || name.startsWith('-') || rest.length > 0) {
  process.stderr.write('Usage: nslookup NAME\n');
  process.exit(1);
}

const settings = readFileSync('/etc/resolv.conf', 'utf8')
  .split('\n')
  .map((line) => line.trim().split(/\s+/));
const values = (key) => settings.filter(([first]) => first === key).flatMap(([, ...words]) => words);
const server = values('nameserver')[0] ?? '127.0.0.1';
const ndots = Number(/^ndots:(\d+)$/.exec(values('options').find((word) => word.startsWith('ndots:')) ?? '')?.[1] ?? 1);
process.stdout.write(`Server:\t\t${server}\nAddress:\t${server}:53\n\n`);

// As resolv.conf(5) says: a name with at least `ndots` dots is tried as it is first, any other last.
const searched = values('search').map((domain) => `${name}.${domain}`);
const dots = name.split('.').length - 1;
const candidates = name.endsWith('.') || isIP(name) !== 0 ? [name] : dots >= ndots ? [name, ...searched] : [...searched, name];
// A final dot keeps the resolver from searching by itself; where the pod network is the loopback map, only it can search.
const questions = candidates.map((candidate) => [candidate, isIP(candidate) !== 0 || candidate.endsWith('.') ? candidate : `${candidate}.`]);
for (const [candidate, question] of [...questions, [name, name]]) {
  const found = await lookup(question, { all: true }).catch(() => []);
  if (found.length === 0) continue;
  for (const { address } of found) process.stdout.write(`Name:\t${candidate}\nAddress: ${address}\n`);
  process.exit(0);
}
process.stdout.write(`** server can't find ${name}: NXDOMAIN\n`);
process.exit(1);
