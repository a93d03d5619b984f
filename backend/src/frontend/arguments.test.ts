import { describe, expect, it } from 'vitest';
import { CommandLineExit } from '../runtime/commandLine.ts';
import { parseFrontendArguments } from './arguments.ts';

function refusal(argv: string[], env: NodeJS.ProcessEnv = {}): string {
  try {
    parseFrontendArguments(argv, env);
  } catch (error) {
    if (error instanceof CommandLineExit && error.exitCode === 2) return error.output;
    throw error;
  }
  throw new Error('the arguments were accepted');
}

describe('frontend arguments', () => {
  it('reads what the graphs pass', () => {
    const env = {
      NATS_SERVER: 'nats://nats.nats-system:4222',
      DYN_NAMESPACE: 'dynamo-vllm-kv-demo',
      DYNAMO_LABS_RUNTIME_VERSION: '0.8.0',
      POD_IP: '10.244.0.4',
    };
    expect(parseFrontendArguments(['--http-port', '8000', '--router-mode', 'kv', '--kv-overlap-score-weight', '1.0'], env)).toMatchObject({
      httpHost: '0.0.0.0',
      httpPort: 8000,
      routerMode: 'kv',
      kvEvents: true,
      weights: { overlap_score_weight: 1 },
      formula: 'dynamo-0.8',
      eventPlane: 'nats',
      namespace: 'dynamo-vllm-kv-demo',
    });
  });

  it('takes defaults from the environment, and flags win', () => {
    const env = { DYN_HTTP_PORT: '8787', DYN_ROUTER_MODE: 'random', DYN_ROUTER_TEMPERATURE: '0.5', DYN_KV_EVENTS: 'false' };
    expect(parseFrontendArguments([], env)).toMatchObject({
      httpPort: 8787,
      routerMode: 'random',
      weights: { temperature: 0.5 },
      kvEvents: false,
      formula: 'linear',
    });
    expect(parseFrontendArguments(['--http-port', '1', '--router-temperature', '0'], env)).toMatchObject({ httpPort: 1, weights: { temperature: 0 } });
  });

  it('binds the loopback outside a pod, and routes round-robin unless told', () => {
    expect(parseFrontendArguments([], {})).toMatchObject({
      httpHost: '127.0.0.1',
      httpPort: 8000,
      routerMode: 'round-robin',
      weights: {},
      busy: {},
      queue: undefined,
      approximate: {},
    });
  });

  it('follows no KV events on request, by the old and the new flag', () => {
    expect(parseFrontendArguments(['--no-kv-events'], {}).kvEvents).toBe(false);
    expect(parseFrontendArguments(['--no-router-kv-events'], {}).kvEvents).toBe(false);
  });

  it('passes on only the thresholds that are set', () => {
    const argv = [
      '--busy-threshold',
      '0.8',
      '--router-queue-threshold',
      '2',
      '--router-queue-policy',
      'wspt',
      '--router-ttl-secs',
      '60',
      '--router-predicted-ttl-secs',
      '5',
    ];
    expect(parseFrontendArguments(argv, {})).toMatchObject({
      busy: { activeDecodeBlocks: 0.8 },
      queue: { threshold: 2, policy: 'wspt' },
      approximate: { ttlMs: 60_000 },
      predictedTtlMs: 5_000,
    });
  });

  it('says which accepted flags do nothing', () => {
    expect(parseFrontendArguments(['--router-replica-sync'], {})).toMatchObject({ replicaSync: true, withoutEffect: [] });
    expect(parseFrontendArguments(['--router-reset-states'], {}).withoutEffect).toEqual(['--router-reset-states']);
  });

  it.each([
    [['--router-mod', 'kv', '--nope'], {}, 'unrecognized arguments: --nope'],
    [['--router-mode', 'disaggregated'], {}, "argument --router-mode: invalid choice: 'disaggregated'"],
    [[], { DYN_ROUTER_MODE: 'disaggregated' }, "argument --router-mode: invalid choice: 'disaggregated'"],
    [['--http-port', 'x'], {}, 'argument --http-port'],
    [['--router-temperature', '-1'], {}, 'argument --router-temperature'],
    [[], { DYN_HTTP_PORT: 'eighty' }, "environment variable DYN_HTTP_PORT: invalid int value: 'eighty'"],
    [[], { DYN_REQUEST_PLANE: 'nats' }, "argument --request-plane: invalid choice: 'nats'"],
    [[], { DYN_EVENT_PLANE: 'kafka' }, 'argument --event-plane: event plane "kafka" is not one of nats, zmq'],
  ])('refuses %j with %j', (argv, env, message) => {
    expect(refusal(argv, env)).toContain(message);
  });
});

describe('frontend arguments: from worker to worker', () => {
  const serving = (argv: string[], env: NodeJS.ProcessEnv = {}) => parseFrontendArguments(argv, env).serving;

  it.each([
    ['0.8.0', 'fallback'],
    ['0.7.0.post1', 'fallback'],
    ['1.3.0', 'fallback'],
    ['1.5.1', 'fallback'],
    ['1.6.0', 'error'],
    ['2.0.0', 'error'],
    ['my-image', 'error'],
  ])('what follows a failed prefill is that of runtime %s: %s', (version, expected) => {
    expect(serving([], { DYNAMO_LABS_RUNTIME_VERSION: version }).onDisaggFailure).toBe(expected);
  });

  it('unless it is asked for', () => {
    const old = { DYNAMO_LABS_RUNTIME_VERSION: '0.8.0' };
    expect(serving(['--enforce-disagg'], old).onDisaggFailure).toBe('enforce');
    expect(serving([], { ...old, DYN_ENFORCE_DISAGG: 'true' }).onDisaggFailure).toBe('enforce');
    expect(serving(['--decode-fallback']).onDisaggFailure).toBe('fallback');
    expect(serving([], { DYN_DECODE_FALLBACK: '1' }).onDisaggFailure).toBe('fallback');
    expect(refusal(['--decode-fallback', '--enforce-disagg'])).toContain('not allowed with argument');
    expect(refusal([], { DYN_DECODE_FALLBACK: '1', DYN_ENFORCE_DISAGG: '1' })).toContain('exclude each other');
  });

  it('reads conditional disaggregation from flags, variables and JSON', () => {
    expect(serving([]).conditional).toEqual({});
    expect(serving(['--router-conditional-disagg']).conditional).toEqual({ policy: 'isl_bounding' });
    expect(
      serving([], { DYN_ROUTER_CONDITIONAL_DISAGG: 'true', DYN_ROUTER_CONDITIONAL_DISAGG_CONFIG: '{"max_local_prefill_length": 64}' }).conditional,
    ).toEqual({
      policy: 'isl_bounding',
      max_local_prefill_length: 64,
    });
    expect(serving(['--router-conditional-disagg-config', '{"policy":"isl_or_load"}']).conditional).toEqual({ policy: 'isl_or_load' });
    expect(refusal(['--router-conditional-disagg-config', '{"max_local": 1}'])).toContain(
      'argument --router-conditional-disagg-config: unknown setting `max_local`',
    );
    expect(refusal(['--router-conditional-disagg-config', 'isl'])).toContain('argument --router-conditional-disagg-config: not JSON');
  });

  it('reads the limits of migration', () => {
    expect(serving([])).toMatchObject({ migrationLimit: undefined, migrationMaxSeqLen: undefined });
    expect(serving(['--migration-limit', '3', '--migration-max-seq-len', '4096'])).toMatchObject({ migrationLimit: 3, migrationMaxSeqLen: 4096 });
    expect(serving([], { DYN_MIGRATION_LIMIT: '2' }).migrationLimit).toBe(2);
    expect(refusal(['--migration-limit', '-1'])).toContain('--migration-limit');
  });

  it('can switch the admin API off', () => {
    expect([parseFrontendArguments([], {}).adminApi, parseFrontendArguments([], { DYN_DISABLE_FRONTEND_ADMIN_API: 'true' }).adminApi]).toEqual([true, false]);
  });
});
