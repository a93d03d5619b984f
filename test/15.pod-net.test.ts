import { beforeAll } from 'vitest';
import { LoopbackPodNet } from '../backend/src/nodeagent/podnet/loopback/loopbackPodNet.ts';
import { NamespacesPodNet } from '../backend/src/nodeagent/podnet/namespaces/namespacesPodNet.ts';
import { describePodNet } from '../backend/src/nodeagent/podnet/podNet.contract.ts';
import { podinitPreload, podinitProgram } from '../backend/src/nodeagent/podnet/podinit.ts';
import path from 'node:path';
import { buildPodinit } from '../native/podinit/build.mjs';

beforeAll(() => void buildPodinit());

const readOnlyPaths = [path.resolve(import.meta.dirname, '..'), path.dirname(process.execPath)];

describePodNet({ driver: 'namespaces', make: (dir) => new NamespacesPodNet({ program: podinitProgram, dir, readOnlyPaths }) });
describePodNet({ driver: 'loopback', make: (dir) => new LoopbackPodNet({ program: podinitProgram, preload: podinitPreload, dir }) });
