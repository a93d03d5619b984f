/** A volume cannot be set up now. The message is the kubelet's FailedMount text; setting up is tried again. */
export class VolumeError extends Error {
  readonly code = 'FAILED_MOUNT';
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VolumeError';
  }
}
