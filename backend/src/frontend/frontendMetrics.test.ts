import { describe, expect, it } from 'vitest';
import { testCard } from '../runtime/discovery/discovery.contract.ts';
import { FrontendMetrics } from './frontendMetrics.ts';
import type { WorkerSeries } from './workerGauges.ts';

const worker: WorkerSeries = { role: 'prefill', worker_id: '7', dp_rank: 0, activeDecodeBlocks: 2, activePrefillTokens: 30 };

describe('FrontendMetrics', () => {
  it('says how many requests are in each stage', async () => {
    const metrics = new FrontendMetrics('dynamo', () => []);
    const leave = metrics.stages.enter('route', 'decode');
    metrics.stages.enter('route', 'decode');
    leave();
    expect(await metrics.text()).toContain('dynamo_frontend_stage_requests{stage="route",phase="decode"} 1');
  });

  it('says what it last saw of the workers that are there', async () => {
    let workers = [worker];
    const metrics = new FrontendMetrics('dynamo', () => workers);
    const series = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('dynamo_frontend_worker_'));
    expect(series(await metrics.text())).toEqual([
      'dynamo_frontend_worker_active_decode_blocks{worker_id="7",dp_rank="0",worker_type="prefill"} 2',
      'dynamo_frontend_worker_active_prefill_tokens{worker_id="7",dp_rank="0",worker_type="prefill"} 30',
    ]);
    metrics.workers.nextToken(worker, 5);
    metrics.workers.firstToken(worker, 250, 64);
    metrics.workers.nextToken(worker, 20);
    metrics.workers.firstToken(worker, 500, 128);
    expect(series(await metrics.text()).slice(2)).toEqual([
      'dynamo_frontend_worker_last_time_to_first_token_seconds{worker_id="7",dp_rank="0",worker_type="prefill"} 0.5',
      'dynamo_frontend_worker_last_input_sequence_tokens{worker_id="7",dp_rank="0",worker_type="prefill"} 128',
      'dynamo_frontend_worker_last_inter_token_latency_seconds{worker_id="7",dp_rank="0",worker_type="prefill"} 0.02',
    ]);
    metrics.workers.forget(7n);
    expect(series(await metrics.text())).toHaveLength(2);
    workers = [];
    expect(series(await metrics.text())).toEqual([]);
  });

  it('tells the migration limit that holds', async () => {
    const metrics = new FrontendMetrics('dynamo', () => []);
    metrics.setModel('a', { ...testCard, migration_limit: 2 });
    metrics.setModel('b', { ...testCard, migration_limit: 2 }, 5);
    const text = await metrics.text();
    expect(text).toContain('dynamo_frontend_model_migration_limit{model="a"} 2');
    expect(text).toContain('dynamo_frontend_model_migration_limit{model="b"} 5');
  });
});
