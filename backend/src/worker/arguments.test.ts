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

  it('publishes no KV events without prefix caching or where the configuration says so', () => {
    expect(parseWorkerArguments([...model, '--no-enable-prefix-caching'], {})).toMatchObject({ enablePrefixCaching: false, kvEvents: false });
    expect(parseWorkerArguments([...model, '--kv-events-config', '{"enable_kv_cache_events": false}'], {}).kvEvents).toBe(false);
  });

  it.each([
    [['--frobnicate', ...model], '__main__.py: error: unrecognized arguments: --frobnicate'],
    [[], 'the following arguments are required: --model'],
    [[...model, '--block-size', '17'], 'argument --block-size: invalid choice: 17 (choose from 8, 16, 32, 64)'],
    [[...model, '--max-num-seqs', 'many'], 'argument --max-num-seqs'],
    [[...model, '--max-num-seqs'], 'argument --max-num-seqs: expected one argument'],
    [[...model, '--is-prefill-worker'], 'aggregated workers only'],
    [[...model, '--disaggregation-mode', 'decode'], 'aggregated workers only'],
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
