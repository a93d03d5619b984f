/** The pod network could not do what was asked: a driver that does not start, an address that is taken, a helper that died. */
export class PodNetError extends Error {
  readonly code: 'PODNET_UNAVAILABLE' | 'PODNET_ADDRESSES_EXHAUSTED' | 'PODNET_HELPER_FAILED';

  constructor(code: PodNetError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PodNetError';
    this.code = code;
  }
}

/** A program that could not be started. The message is a container runtime's, e.g. `exec: "foo": executable file not found in $PATH`. */
export class PodStartError extends Error {
  readonly code: 'PROGRAM_NOT_FOUND' | 'START_FAILED';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PodStartError';
    this.code =
      message.includes('executable file not found in $PATH') || /^exec: .*: No such file or directory$/.test(message) ? 'PROGRAM_NOT_FOUND' : 'START_FAILED';
  }
}
