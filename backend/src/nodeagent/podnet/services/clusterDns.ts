import dnsPacket, { type Answer, type DecodedPacket, type Packet } from 'dns-packet';
import type { Duplex } from 'node:stream';
import { addressPlan } from '../addressPlan.ts';
import type { PodNet } from '../podNet.ts';
import { clusterZone, type ZoneName } from './clusterZone.ts';
import type { ServiceSource } from './serviceWatch.ts';

const dnsPort = 53;
/** Seconds; short, because pods come and go. CoreDNS uses the same. */
const ttl = 5;
const nxdomain = 3;
const notImplemented = 4;
/** The only opcode that is served. */
const standardQuery = 0;
/** Largest datagram without EDNS (RFC 1035). */
const plainDatagram = 512;

/** Answers the cluster's names; everything else does not exist (pods have no way out). Pure: a query in, an answer out. */
export class ClusterNames {
  readonly #zone: () => Map<string, ZoneName>;

  constructor(zone: () => Map<string, ZoneName>) {
    this.#zone = zone;
  }

  answer(query: DecodedPacket): Packet {
    const question = query.questions?.[0];
    const reply: Packet = {
      type: 'response',
      id: query.id ?? 0,
      flags: dnsPacket.AUTHORITATIVE_ANSWER | ((query.flags ?? 0) & dnsPacket.RECURSION_DESIRED),
      questions: query.questions ?? [],
      answers: [],
      authorities: [],
      additionals: [],
    };
    if (question === undefined || (((query.flags ?? 0) >> 11) & 15) !== standardQuery) return { ...reply, flags: (reply.flags ?? 0) | notImplemented };
    const name = question.name.toLowerCase().replace(/\.$/, '');
    const zone = this.#zone();
    const found = zone.get(name) ?? podRecord(name);
    if (found === undefined) {
      const isParent = [...zone.keys()].some((known) => known.endsWith(`.${name}`));
      return { ...reply, flags: (reply.flags ?? 0) | (isParent ? 0 : nxdomain), authorities: [soa()] };
    }
    const { answers, additionals } = records(question.name, question.type, found, zone);
    return { ...reply, answers, additionals, authorities: answers.length === 0 ? [soa()] : [] };
  }
}

function records(name: string, type: string, found: ZoneName, zone: Map<string, ZoneName>): { answers: Answer[]; additionals: Answer[] } {
  const addresses = (owner: string, list: readonly string[]): Answer[] => list.map((data) => ({ type: 'A', name: owner, ttl, data }));
  if (found.cname !== undefined) {
    const target = zone.get(found.cname);
    return { answers: [{ type: 'CNAME', name, ttl, data: found.cname }, ...(type === 'A' ? addresses(found.cname, target?.a ?? []) : [])], additionals: [] };
  }
  const any = type === 'ANY';
  const answers: Answer[] = [];
  const additionals: Answer[] = [];
  if (type === 'A' || any) answers.push(...addresses(name, rotate(found.a)));
  if (type === 'PTR' || any) for (const data of found.ptr) answers.push({ type: 'PTR', name, ttl, data });
  if (type === 'SRV' || any) {
    for (const { target, port } of found.srv) {
      answers.push({ type: 'SRV', name, ttl, data: { target, port, priority: 0, weight: Math.floor(100 / found.srv.length) } });
      additionals.push(...addresses(target, zone.get(target)?.a ?? []));
    }
  }
  return { answers, additionals };
}

let turn = 0;

/** Clients mostly take the first address; each answer begins with another one. */
function rotate(list: readonly string[]): string[] {
  const start = list.length < 2 ? 0 : turn++ % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** `10-244-1-7.<namespace>.pod.cluster.local` is 10.244.1.7, whether or not there is such a pod (CoreDNS "pods insecure"). */
function podRecord(name: string): ZoneName | undefined {
  const match = /^(\d+)-(\d+)-(\d+)-(\d+)\.[a-z0-9-]+\.pod\./.exec(name);
  if (match === null || !name.endsWith(`.pod.${addressPlan.clusterDomain}`)) return undefined;
  return { a: [match.slice(1).join('.')], srv: [], ptr: [] };
}

/** In the authority section of a negative answer: it lets resolvers cache that there is nothing. */
function soa(): Answer {
  const { clusterDomain } = addressPlan;
  return {
    type: 'SOA',
    name: clusterDomain,
    ttl,
    data: { mname: `ns.dns.${clusterDomain}`, rname: `hostmaster.${clusterDomain}`, serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: ttl },
  };
}

/** The answer to one datagram or TCP message; `undefined` for what is no DNS query (it is dropped). */
export function answerBytes(names: ClusterNames, message: Buffer, limit: number | undefined): Buffer | undefined {
  let query: DecodedPacket;
  try {
    query = dnsPacket.decode(message);
  } catch {
    return undefined;
  }
  if (query.type !== 'query') return undefined;
  const edns = (query.additionals ?? []).find((extra) => extra.type === 'OPT');
  const reply = names.answer(query);
  if (edns !== undefined)
    reply.additionals = [...(reply.additionals ?? []), { ...edns, name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as unknown as Answer];
  const bytes = dnsPacket.encode(reply);
  const room = limit === undefined ? 65_535 : Math.max(limit, (edns as { udpPayloadSize?: number } | undefined)?.udpPayloadSize ?? 0);
  if (bytes.length <= room) return bytes;
  return dnsPacket.encode({ ...reply, flags: (reply.flags ?? 0) | dnsPacket.TRUNCATED_RESPONSE, answers: [], additionals: [] });
}

/** Messages over TCP have a two-byte length in front; one connection may carry many. */
function serveStream(names: ClusterNames, socket: Duplex): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const size = rest.readUInt16BE(0);
      const answer = answerBytes(names, rest.subarray(2, 2 + size), undefined);
      rest = rest.subarray(2 + size);
      if (answer === undefined) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([length, answer]));
    }
  });
  socket.on('end', () => socket.end());
}

export interface ClusterDnsOptions {
  services: ServiceSource;
  podNet: PodNet;
}

/** Serves the cluster's names on 10.96.0.10:53, UDP and TCP. */
export async function startClusterDns(options: ClusterDnsOptions): Promise<AsyncDisposable> {
  const { services, podNet } = options;
  let zone: Map<string, ZoneName> | undefined;
  const subscription = services.onChange(() => (zone = undefined));
  const names = new ClusterNames(() => (zone ??= clusterZone(services.services(), services.slicesByService())));
  const datagrams = await podNet.listenUdp(addressPlan.clusterDns, dnsPort, (message, reply) => {
    const answer = answerBytes(names, message, plainDatagram);
    if (answer !== undefined) reply(answer);
  });
  const streams = await podNet.listen(addressPlan.clusterDns, dnsPort, (socket) => serveStream(names, socket));
  return {
    [Symbol.asyncDispose]: async () => {
      subscription[Symbol.dispose]();
      await Promise.all([datagrams[Symbol.asyncDispose](), streams[Symbol.asyncDispose]()]);
    },
  };
}
