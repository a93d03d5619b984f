import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ClusterError } from './clusterError.ts';
import type { ClusterView } from './clusterView.ts';
import { runCheck, type Check } from './runCheck.ts';

const run = (check: Check, deadlineMs = 5_000) =>
  runCheck(check, { cluster: {} as ClusterView, lab: 'lab', step: 'step', answers: {}, since: new Date(0).toISOString(), deadlineMs });
const holds = { id: 'a', title: 'a holds', expected: '1', observed: '1', evidence: [] };

describe('runCheck', () => {
  it('passes when every assertion holds, and keeps the evidence', async () => {
    const report = await run(async (ctx) => {
      const seen = ctx.evidence('GET /x', { value: 1n });
      ctx.assert({ ...holds, ok: true, evidence: [seen] });
    });
    expect(report).toMatchObject({ verdict: 'PASS', evidence: [{ id: 'e1', source: 'GET /x', data: { value: '1' } }] });
  });

  it('fails with the hint of the assertion that failed, and require ends the check', async () => {
    const report = await run(async (ctx) => {
      ctx.assert({ ...holds, ok: true });
      ctx.require({ ...holds, id: 'b', ok: false, hint: 'look at b' });
      throw new Error('not reached');
    });
    expect(report.verdict).toBe('FAIL');
    expect(report.assertions.map(({ id, verdict, hint }) => ({ id, verdict, hint }))).toEqual([
      { id: 'a', verdict: 'PASS', hint: undefined },
      { id: 'b', verdict: 'FAIL', hint: 'look at b' },
    ]);
  });

  it('is an ERROR, not a FAIL, when the cluster cannot be asked', async () => {
    const report = await run(async () => {
      throw new ClusterError('connect ECONNREFUSED', 0);
    });
    expect(report).toMatchObject({ verdict: 'ERROR', error: { code: 'CLUSTER_UNREACHABLE', message: 'connect ECONNREFUSED' } });
  });

  it('is an ERROR when nothing was asserted', async () => {
    expect(await run(async () => {})).toMatchObject({ verdict: 'ERROR', error: { code: 'CHECK_EMPTY' } });
  });

  it('is an ERROR when the deadline passes', async () => {
    const report = await run(async (ctx) => {
      ctx.assert({ ...holds, ok: true });
      await sleep(60_000, undefined, { signal: ctx.signal });
    }, 30);
    expect(report).toMatchObject({ verdict: 'ERROR', error: { code: 'CHECK_TIMEOUT' } });
  });

  it('cuts evidence that is too large to show', async () => {
    const report = await run(async (ctx) => {
      ctx.assert({ ...holds, ok: true, evidence: [ctx.evidence('logs', 'x'.repeat(20_000))] });
    });
    expect(String(report.evidence[0]?.data)).toMatch(/… \(20002 characters\)$/);
  });
});
