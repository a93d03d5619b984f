// Run beside a worker: what touching memory costs on this machine once it has rested as long as a worker's does between two steps. Prints CPU milliseconds.
import { nativeAddon } from '@dynamo-labs/native';

const pageBytes = 4096;
const pages = 1024;
const restMs = 350;

const { threadCpuTime } = nativeAddon();
const memory = Buffer.alloc(pages * pageBytes, 1);
setInterval(() => {
  const before = threadCpuTime();
  for (let at = 0; at < memory.length; at += pageBytes) memory[at]! ^= 1;
  console.log(threadCpuTime() - before);
}, restMs);
