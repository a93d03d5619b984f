/** A Kubernetes API call that did not succeed. `status` is the HTTP status, 0 when no answer came. */
export class KubeError extends Error {
  readonly code = 'KUBE_API_ERROR';
  readonly status: number;
  /** `metav1.Status.reason`, e.g. `NotFound`, `AlreadyExists`, `Conflict`, `Expired`. */
  readonly reason: string;

  constructor(message: string, status: number, reason: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'KubeError';
    this.status = status;
    this.reason = reason;
  }
}
