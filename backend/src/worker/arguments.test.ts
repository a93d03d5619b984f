import { describe, expect, it } from 'vitest';
import { CommandLineExit } from '../runtime/commandLine.ts';
import { parseWorkerArguments } from './arguments.ts';

const model = ['--model', 'Qwen/Qwen2.5-1.5B-Instruct'];

function exit(argv: string[], env: NodeJS.ProcessEnv = {}): CommandLineExit {
  try {
    parseWorkerArguments(argv, env);
  } catch (error) {
    if (error instanceof CommandLineExit) return error;
    throw error;
  }
  throw new Error('the arguments were accepted');
}

describe('worker arguments', () => {
  it('reads what the graphs pass', () => {
    expect(parseWorkerArguments([...model, '--tensor-parallel-size', '1', '--enable-prefix-caching'], { NATS_SERVER: 'nats://nats:4222' })).toMatchObject({
      model: 'Qwen/Qwen2.5-1.5B-Instruct',
      servedModelName: 'Qwen/Qwen2.5-1.5B-Instruct',
      blockSize: 16,
      enablePrefixCaching: true,
      kvEvents: true,
      component: 'backend',
      endpoint: 'generate',
      eventPlane: 'nats',
      withoutEffect: [],
    });
  });

  it('takes underscores, --flag=value, and says which flags have no effect here', () => {
    const read = parseWorkerArguments(
      [...model, '--max_model_len=512', '--block_size', '32', '--enforce-eager', '-tp', '2', '--served-model-name', 'a', 'b'],
      {},
    );
    expect(read).toMatchObject({
      maxModelLen: 512,
      blockSize: 32,
      servedModelName: 'a',
      withoutEffect: ['--tensor-parallel-size', '--enforce-eager'],
      eventPlane: 'zmq',
    });
  });

  it('knows that kvbm without a size is nothing', () => {
    const argv = [...model, '--connector', 'kvbm', 'nixl'];
    expect(parseWorkerArguments(argv, {}).withoutEffect).toEqual(['--connector kvbm']);
    expect(parseWorkerArguments(argv, { DYN_KVBM_CPU_CACHE_GB: '4' }).withoutEffect).toEqual([]);
  });

  it('publishes no KV events without prefix caching or where the configuration says so', () => {
    expect(parseWorkerArguments([...model, '--no-enable-prefix-caching'], {})).toMatchObject({ enablePrefixCaching: false, kvEvents: false });
    expect(parseWorkerArguments([...model, '--kv-events-config', '{"enable_kv_cache_events": false}'], {}).kvEvents).toBe(false);
  });

  it.each([
    [[], {}, { mode: 'agg', component: 'backend', kvTransfer: undefined }],
    [['--is-prefill-worker'], {}, { mode: 'prefill', component: 'prefill', kvTransfer: { kv_load_failure_policy: 'fail' }, deprecated: [] }],
    [['--is-decode-worker'], {}, { mode: 'decode', component: 'backend', kvTransfer: { kv_role: 'kv_both' } }],
    [['--disaggregation-mode', 'prefill'], {}, { mode: 'prefill', component: 'prefill' }],
    [[], { DYN_VLLM_DISAGGREGATION_MODE: 'decode' }, { mode: 'decode', component: 'backend' }],
    [['--is-prefill-worker'], { DYNAMO_LABS_RUNTIME_VERSION: '1.1.1' }, { mode: 'prefill', deprecated: ['--is-prefill-worker'] }],
    [
      ['--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_load_failure_policy":"recompute"}'],
      {},
      { mode: 'agg', kvTransfer: { kv_load_failure_policy: 'recompute' } },
    ],
    // up to 0.9 a worker without a role can decode, as the recipes of that time have it
    [[], { DYNAMO_LABS_RUNTIME_VERSION: '0.8.0' }, { mode: 'agg', kvTransfer: { kv_connector: 'NixlConnector' } }],
    [['--connector', 'none'], { DYNAMO_LABS_RUNTIME_VERSION: '0.8.0' }, { mode: 'agg', kvTransfer: undefined }],
    [['--connector', 'kvbm', 'nixl'], {}, { mode: 'agg', kvTransfer: { kv_connector: 'NixlConnector' } }],
    [[], { DYNAMO_LABS_RUNTIME_VERSION: '1.0.0' }, { mode: 'agg', kvTransfer: undefined }],
  ])('reads a role out of %j with %j', (argv, env: NodeJS.ProcessEnv, role) => {
    expect(parseWorkerArguments([...model, ...argv], env)).toMatchObject(role);
  });

  it.each([
    [['--frobnicate', ...model], '__main__.py: error: unrecognized arguments: --frobnicate'],
    [[], 'the following arguments are required: --model'],
    [[...model, '--block-size', '17'], 'argument --block-size: invalid choice: 17 (choose from 8, 16, 32, 64)'],
    [[...model, '--max-num-seqs', 'many'], 'argument --max-num-seqs'],
    [[...model, '--max-num-seqs'], 'argument --max-num-seqs: expected one argument'],
    [[...model, '--is-prefill-worker', '--is-decode-worker'], 'argument --is-decode-worker: not allowed with argument --is-prefill-worker'],
    [[...model, '--is-decode-worker', '--disaggregation-mode', 'prefill'], 'argument --is-decode-worker: not allowed with --disaggregation-mode prefill'],
    [[...model, '--disaggregation-mode', 'encode'], 'no encode workers'],
    [[...model, '--is-prefill-worker', '--connector', 'none'], 'argument --connector: a prefill worker needs nixl'],
    [[...model, '--kv-transfer-config', '[]'], 'cannot be converted to a JSON object'],
    [[...model, '--kv-transfer-config', '{"kv_connector":"P2pNcclConnector","kv_role":"kv_both"}'], 'Unsupported connector type: P2pNcclConnector'],
    [[...model, '--kv-transfer-config', '{"kv_connector":"NixlConnector"}'], 'Unsupported kv_role: undefined. Supported roles are kv_producer, kv_consumer'],
    [[...model, '--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_rol":1}'], "Unexpected keyword argument 'kv_rol'"],
    [
      [...model, '--is-decode-worker', '--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_producer"}'],
      'a decode worker cannot be a kv_producer',
    ],
    [
      [...model, '--kv-transfer-config', '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_load_failure_policy":"retry"}'],
      'Unsupported kv_load_failure_policy: retry',
    ],
    [[...model, '--data-parallel-size', '2'], 'one rank per worker'],
    [[...model, '--kv-events-config', '{'], 'cannot be converted to a JSON object'],
    [[...model, '--endpoint', 'backend.generate'], 'dyn://namespace.component.endpoint'],
  ])('refuses %j as argparse does', (argv, message) => {
    const error = exit(argv);
    expect(error.exitCode).toBe(2);
    expect(error.output).toContain('usage: __main__.py');
    expect(error.output).toContain(message);
  });

  it('refuses what the environment asks for and it cannot do', () => {
    expect(exit(model, { DYN_REQUEST_PLANE: 'nats' }).output).toContain("argument --request-plane: invalid choice: 'nats' (choose from 'tcp')");
    expect(exit(model, { DYN_EVENT_PLANE: 'kafka' }).output).toContain('argument --event-plane');
    expect(exit(model, { DYN_VLLM_DISAGGREGATION_MODE: 'prefil' }).output).toContain("argument --disaggregation-mode: invalid choice: 'prefil'");
  });

  it('prints version and help and ends well', () => {
    expect(exit(['--version'], { DYNAMO_LABS_RUNTIME_VERSION: '0.8.0' })).toMatchObject({ exitCode: 0, output: 'Dynamo Backend VLLM 0.8.0\n' });
    expect(exit(['--help'])).toMatchObject({ exitCode: 0 });
  });
});
