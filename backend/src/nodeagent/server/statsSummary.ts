import { readdirSync, readFileSync } from 'node:fs';
import type { PodManager } from '../pods/podManager.ts';
import type { PodWorker } from '../pods/podWorker.ts';

/** Kernel clock ticks per second (USER_HZ), 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Usage {
  cpuNanoseconds: number;
  residentBytes: number;
}

interface ProcessStat extends Usage {
  pid: number;
  parent: number;
}

/** One reading of all processes of this machine. */
function readProcesses(): ProcessStat[] {
  const pageBytes = 4096;
  const list: ProcessStat[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      list.push({
        pid: Number(name),
        parent: Number(fields[1]),
        cpuNanoseconds: (Number(fields[11]) + Number(fields[12])) * (1e9 / ticksPerSecond),
        residentBytes: Number(fields[21]) * pageBytes,
      });
    } catch {
      // The process ended between listing and reading.
    }
  }
  return list;
}

/** Sum over a process and all its descendants. */
function usageOf(root: number, children: Map<number, ProcessStat[]>, byPid: Map<number, ProcessStat>): Usage {
  const own = byPid.get(root);
  const sum: Usage = { cpuNanoseconds: own?.cpuNanoseconds ?? 0, residentBytes: own?.residentBytes ?? 0 };
  for (const child of children.get(root) ?? []) {
    const below = usageOf(child.pid, children, byPid);
    sum.cpuNanoseconds += below.cpuNanoseconds;
    sum.residentBytes += below.residentBytes;
  }
  return sum;
}

/** `GET /stats/summary` (kubelet stats/v1alpha1): CPU time and resident memory of each container, summed over its processes. */
export async function statsSummary(manager: PodManager): Promise<unknown> {
  const time = new Date().toISOString();
  const processes = readProcesses();
  const byPid = new Map(processes.map((process) => [process.pid, process]));
  const children = Map.groupBy(processes, (process) => process.parent);
  const stats = (usage: Usage): object => ({
    cpu: { time, usageCoreNanoSeconds: usage.cpuNanoseconds },
    memory: { time, workingSetBytes: usage.residentBytes, rssBytes: usage.residentBytes },
  });
  const total: Usage = { cpuNanoseconds: 0, residentBytes: 0 };
  const podStats = (worker: PodWorker): object => {
    const containers = worker.state.containers.flatMap((container) => {
      if (container.now.is !== 'running') return [];
      const usage = usageOf(container.now.pid, children, byPid);
      total.cpuNanoseconds += usage.cpuNanoseconds;
      total.residentBytes += usage.residentBytes;
      return [{ name: container.name, startTime: new Date(container.now.startedAt).toISOString(), ...stats(usage) }];
    });
    const { name, namespace, uid } = worker.pod.metadata;
    return { podRef: { name, namespace, uid }, startTime: new Date(worker.state.startTime).toISOString(), containers };
  };
  const pods = [...manager.workers].map(podStats);
  return { node: { nodeName: manager.context.nodeName, startTime: time, ...stats(total) }, pods };
}
