import { MetricsRegistry, powersOfTwo } from '../../observability/index.ts';

/** controller-runtime's metric names, so that an operator dashboard made for it works here. */
export class OperatorMetrics {
  readonly metrics = new MetricsRegistry();
  readonly reconcileTotal = this.metrics.counter('controller_runtime_reconcile_total', 'Total number of reconciliations per controller', [
    'controller',
    'result',
  ]);
  readonly reconcileErrors = this.metrics.counter('controller_runtime_reconcile_errors_total', 'Total number of reconciliation errors per controller', [
    'controller',
  ]);
  readonly reconcileSeconds = this.metrics.histogram(
    'controller_runtime_reconcile_time_seconds',
    'Length of time per reconciliation per controller',
    powersOfTwo(0.005, 14),
    ['controller'],
  );
  readonly activeWorkers = this.metrics.gauge('controller_runtime_active_workers', 'Number of currently used workers per controller', ['controller']);
  readonly maxWorkers = this.metrics.gauge('controller_runtime_max_concurrent_reconciles', 'Maximum number of concurrent reconciles per controller', [
    'controller',
  ]);
  readonly queueDepth = this.metrics.gauge('workqueue_depth', 'Current depth of workqueue', ['name', 'controller']);
  readonly queueAdds = this.metrics.counter('workqueue_adds_total', 'Total number of adds handled by workqueue', ['name', 'controller']);
  readonly queueRetries = this.metrics.counter('workqueue_retries_total', 'Total number of retries handled by workqueue', ['name', 'controller']);
  readonly queueSeconds = this.metrics.histogram(
    'workqueue_queue_duration_seconds',
    'How long in seconds an item stays in workqueue before being requested',
    powersOfTwo(0.001, 14),
    ['name', 'controller'],
  );
  readonly leader = this.metrics.gauge('leader_election_master_status', 'Whether this process is the leader (1) or not (0)', ['name']);
}
