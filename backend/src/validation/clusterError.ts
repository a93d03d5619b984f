/** The cluster could not be asked, or answered with an error. Checks that meet it end as ERROR, never as FAIL. */
export class ClusterError extends Error {
  readonly code = 'CLUSTER_UNREACHABLE';
  /** HTTP status of the API server's answer; 0 when none came. */
  readonly status: number;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ClusterError';
    this.status = status;
  }
}
