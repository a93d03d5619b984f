import { CliError } from './cliError.ts';

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
