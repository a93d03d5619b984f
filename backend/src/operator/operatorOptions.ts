/** What the platform tells the operator; every address is injected only when it is set, and a user's own value wins. */
export interface OperatorOptions {
  /** `NATS_SERVER` of every pod, e.g. `nats://nats.nats-system:4222`. */
  natsAddress?: string;
  /** `ETCD_ENDPOINTS` of every pod. */
  etcdAddress?: string;
  /** `MODEL_EXPRESS_URL` of every pod. */
  modelExpressUrl?: string;
  /** `PROMETHEUS_ENDPOINT` of every pod. */
  prometheusEndpoint?: string;
  /** Discovery plane of graphs without the annotation `nvidia.com/dynamo-discovery-backend`. */
  discoveryBackend: 'kubernetes' | 'etcd';
}
