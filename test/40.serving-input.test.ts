import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { servingGroup, type ServingGroup, type ServingProcess } from './support/servingGroup.ts';
import { failure, messages, model, ready } from './support/servingStates.ts';

describe('serving: wrong input', () => {
  let group: ServingGroup;
  let frontend: ServingProcess;
  let client: OpenAI;

  beforeAll(async () => {
    group = await servingGroup();
    await group.startWorker();
    frontend = await group.startFrontend(['--router-mode', 'kv'], { DYN_HTTP_BODY_LIMIT_MB: '1' });
    await ready(frontend, 1);
    client = new OpenAI({ baseURL: `${frontend.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  afterAll(async () => group?.close());

  const post = async (path: string, body: string): Promise<{ status: number; error: { message: string; param: string; code: string } }> => {
    const response = await fetch(`${frontend.url}${path}`, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    return { status: response.status, ...((await response.json()) as { error: { message: string; param: string; code: string } }) };
  };

  it('an unknown model is 404', async () => {
    expect(await failure(client.chat.completions.create({ model: 'nobody/none', messages: messages('x') }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
      param: 'model',
    });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['temperature', { temperature: 9 }, 'temperature'],
    ['a misspelt field', { max_token: 1 }, 'max_token'],
    ['two answers', { n: 2 }, 'n'],
    ['no messages', { messages: [] }, 'messages'],
  ])('%s is 400 and named', async (_, extra, param) => {
    const error = await failure(client.chat.completions.create({ model, messages: messages('x'), ...extra } as OpenAI.ChatCompletionCreateParamsNonStreaming));
    expect(error).toMatchObject({ status: 400, param, type: 'invalid_request_error' });
  });

  it('a prompt over the limit is refused with both numbers, and so is an answer that does not fit', async () => {
    const long = await post('/v1/completions', JSON.stringify({ model, prompt: Array.from({ length: 9_000 }, () => 5) }));
    expect(long).toMatchObject({ status: 400, error: { param: 'prompt', code: 'context_length_exceeded' } });
    expect(long.error.message).toMatch(/8192 tokens.*9000 tokens/);
    const text = await post('/v1/chat/completions', JSON.stringify({ model, messages: [{ role: 'user', content: 'long text '.repeat(6_000) }] }));
    expect(text).toMatchObject({ status: 400, error: { param: 'messages', code: 'context_length_exceeded' } });
    expect(text.error.message).toMatch(/8192 tokens.*resulted in \d{5} tokens/);
    const hopeless = await post('/v1/completions', JSON.stringify({ model, prompt: 'x'.repeat(900_000) }));
    expect(hopeless).toMatchObject({
      status: 400,
      error: { param: 'prompt', code: 'context_length_exceeded', message: expect.stringContaining('at least') },
    });
    const answer = await post('/v1/completions', JSON.stringify({ model, prompt: 'x', max_tokens: 9_000 }));
    expect(answer).toMatchObject({ status: 400, error: { param: 'max_tokens' } });
  });

  it('what is not JSON is 400, what is too large 413, what is not served 404 and 405', async () => {
    expect(await post('/v1/chat/completions', '{')).toMatchObject({ status: 400, error: { code: 'invalid_json' } });
    expect(await post('/v1/chat/completions', '"text"')).toMatchObject({ status: 400, error: { param: 'body' } });
    expect(await post('/v1/chat/completions', JSON.stringify({ model, x: 'y'.repeat(2 << 20) }))).toMatchObject({
      status: 413,
      error: { code: 'body_too_large' },
    });
    expect(await post('/v1/nothing', '{}')).toMatchObject({ status: 404, error: { code: 'unknown_url' } });
    expect((await fetch(`${frontend.url}/v1/chat/completions`)).status).toBe(405);
    expect((await fetch(`${frontend.url}/router/decisions/none`)).status).toBe(404);
  });
});
