/**
 * `node dyingAgent.ts DRIVER DIR LOGDIR`: a node agent in short, to be killed. Makes one pod with two detached programs (a
 * server on 8000; one that ends with code 6 when its stdin file `LOGDIR/go` appears) and prints what the next agent needs.
 */
import path from 'node:path';
import { makePodNet } from './podNetDrivers.ts';

const [driver = '', dir = '', logDir = ''] = process.argv.slice(2);
const net = makePodNet(driver as 'namespaces' | 'loopback', dir);
await net.start(AbortSignal.timeout(10_000));
const sandbox = await net.createSandbox({ uid: 'uid-orphan', namespace: 'default', name: 'orphan', nodeName: 'node-1' });
const env = { PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin` };
const detachedTo = (name: string): { stdoutFile: string; stderrFile: string } => ({ stdoutFile: path.join(logDir, name), stderrFile: path.join(logDir, name) });
const mounts = [{ source: logDir, target: logDir }];
const server = `require('net').createServer((c) => c.end('survivor')).listen(8000); console.log('started ' + process.pid)`;
const survivor = await sandbox.spawn({ argv: ['node', '-e', server], env, cwd: '/', mounts, detached: detachedTo('survivor.log') });
const waiting = `while [ ! -e ${logDir}/go ]; do sleep 0.05; done; exit 6`;
const ender = await sandbox.spawn({ argv: ['sh', '-c', waiting], env, cwd: '/', mounts, detached: detachedTo('ender.log') });
const identity = ({ pid, startTime }: { pid: number; startTime: number }): { pid: number; startTime: number } => ({ pid, startTime });
console.log(JSON.stringify({ ip: sandbox.ip, survivor: identity(survivor), ender: identity(ender) }));
setInterval(() => {}, 60_000);
