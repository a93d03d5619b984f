import { z } from 'zod';
import { CommandLineExit } from '../../runtime/commandLine.ts';
import type { Fault } from '../../transfer/index.ts';

const kinds = [
  'reset',
  'half_close',
  'truncate',
  'stall',
  'rate',
  'delay',
  'flip',
  'duplicate',
  'reorder',
  'drop_notification',
  'refuse',
  'wrong_epoch',
  'expire',
  'kill',
] as const;

const count = z.number().int().nonnegative().optional();
const fault = z.strictObject({
  kind: z.enum(kinds),
  side: z.enum(['read', 'serve']),
  afterBytes: count,
  withinBytes: count,
  times: count,
  ms: count,
  bytesPerSecond: count,
  pid: count,
});
const faults = z.strictObject({ seed: z.number().int().nonnegative().default(1), plan: z.array(fault).min(1) });

/** `DYNAMO_LABS_TRANSFER_FAULTS`: `{"seed": 7, "plan": [{"kind": "reset", "side": "serve", "afterBytes": 100000}]}`. Throws `CommandLineExit`. */
export function transferFaults(env: NodeJS.ProcessEnv): { enable: true; seed: number; plan: Fault[] } | undefined {
  const text = env['DYNAMO_LABS_TRANSFER_FAULTS'];
  if (text === undefined || text === '') return undefined;
  const refuse = (why: string): never => {
    throw new CommandLineExit(2, `error: environment variable DYNAMO_LABS_TRANSFER_FAULTS: ${why}\n`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refuse((error as Error).message);
  }
  const parsed = faults.safeParse(value);
  if (!parsed.success) return refuse(z.prettifyError(parsed.error));
  const plan = parsed.data.plan.map((one) => Object.fromEntries(Object.entries(one).filter(([, field]) => field !== undefined)) as unknown as Fault);
  return { enable: true, seed: parsed.data.seed, plan };
}
