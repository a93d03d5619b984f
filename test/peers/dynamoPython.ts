import { execFileSync } from 'node:child_process';

/** A Python with NVIDIA's wheel, named by `DYNAMO_LABS_DYNAMO_PYTHON`; without it the live comparisons are skipped and say so. */
export function dynamoPython(): { python: string } | { missing: string } {
  const python = process.env['DYNAMO_LABS_DYNAMO_PYTHON'];
  if (!python) return { missing: 'DYNAMO_LABS_DYNAMO_PYTHON is not set (a Python with `pip install ai-dynamo-runtime==1.6.1 pyzmq msgspec xxhash`)' };
  try {
    execFileSync(python, ['-c', 'import dynamo._core, zmq, msgspec, xxhash'], { stdio: 'pipe', timeout: 60_000 });
    return { python };
  } catch (error) {
    return {
      missing: `${python} cannot import dynamo._core, zmq, msgspec and xxhash: ${error instanceof Error ? error.message.split('\n').at(-2) : String(error)}`,
    };
  }
}
