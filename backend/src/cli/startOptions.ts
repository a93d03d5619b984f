import type { StackPart } from '../controlplane/index.ts';
import { CliError } from './cliError.ts';

const allParts: readonly StackPart[] = ['controlplane', 'nodeagent', 'operator', 'backend', 'jupyter'];

/** `--parts controlplane,nodeagent`: only these; default all. */
export function partsOption(value: string | undefined): readonly StackPart[] {
  if (value === undefined) return allParts;
  return value.split(',').map((name) => {
    const part = allParts.find((known) => known === name.trim());
    if (part === undefined) throw new CliError(`There is no part "${name}": --parts takes ${allParts.join(', ')}.`);
    return part;
  });
}

/** A whole number from 1 (0 for `--gpus`) to `largest`, or the error that says so. */
export function numberOption(name: string, value: string | undefined, fallback: number, largest: number): number {
  if (value === undefined || value === '') return fallback;
  const smallest = name === '--gpus' ? 0 : 1;
  const number = Number(value);
  if (!Number.isInteger(number) || number < smallest || number > largest) {
    throw new CliError(`${name} must be a whole number from ${smallest} to ${largest}, not "${value}".`);
  }
  return number;
}

export function podNetOption(value: string | undefined): 'auto' | 'namespaces' | 'loopback' {
  if (value === undefined || value === '' || value === 'auto') return 'auto';
  if (value === 'namespaces' || value === 'loopback') return value;
  throw new CliError(`DYNAMO_LABS_PODNET must be auto, namespaces or loopback, not "${value}".`);
}
