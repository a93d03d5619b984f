import { describe, expect, it } from 'vitest';
import { ApiError } from './apiError.ts';
import { chatSchema, completionSchema, readRequest } from './requestSchema.ts';

const chat = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };
const completion = { model: 'm', prompt: 'hi' };

function refusal(read: () => unknown): { status: number; param: string | null; message: string } {
  try {
    read();
  } catch (error) {
    if (error instanceof ApiError) return { status: error.status, param: error.param, message: error.message };
    throw error;
  }
  throw new Error('the request was accepted');
}

describe('request schema', () => {
  it('accepts what the openai client sends', () => {
    expect(
      readRequest(chatSchema, {
        ...chat,
        stream: true,
        stream_options: { include_usage: true },
        max_completion_tokens: 5,
        temperature: 0,
        user: 'me',
        tools: [],
        response_format: { type: 'text' },
        stop: null,
      }),
    ).toMatchObject({ messages: [{ role: 'user', content: 'hi' }], max_completion_tokens: 5, stop: undefined });
  });

  it('joins text parts and treats developer as system', () => {
    const messages = [
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
    ];
    expect(readRequest(chatSchema, { ...chat, messages }).messages).toEqual([{ role: 'system', content: 'ab' }]);
  });

  it('accepts text, token ids and a list of one text as a prompt', () => {
    for (const prompt of ['x', [1, 2, 3], ['x']]) expect(readRequest(completionSchema, { model: 'm', prompt })).toMatchObject({ prompt });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['model missing', { model: undefined }, 'model'],
    ['model empty', { model: '' }, 'model'],
    ['messages missing', { messages: undefined }, 'messages'],
    ['messages empty', { messages: [] }, 'messages'],
    ['a bad role', { messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role'],
    ['content missing', { messages: [{ role: 'user' }] }, 'messages[0].content'],
    ['an image part', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }, 'messages[0].content[0].type'],
    ['temperature too high', { temperature: 2.5 }, 'temperature'],
    ['temperature no number', { temperature: 'hot' }, 'temperature'],
    ['top_p zero', { top_p: 0 }, 'top_p'],
    ['max_tokens zero', { max_tokens: 0 }, 'max_tokens'],
    ['max_tokens fractional', { max_tokens: 1.5 }, 'max_tokens'],
    ['five stops', { stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
    ['an empty stop', { stop: '' }, 'stop'],
    ['n of two', { n: 2 }, 'n'],
    ['too many top_logprobs', { top_logprobs: 21 }, 'top_logprobs'],
    ['tools', { tools: [{ type: 'function' }] }, 'tools'],
    ['json mode', { response_format: { type: 'json_object' } }, 'response_format'],
    ['a typo', { max_token: 5 }, 'max_token'],
    ['a typo within', { stream_options: { include_usages: true } }, 'stream_options.include_usages'],
    ['a penalty', { presence_penalty: 1 }, 'presence_penalty'],
    ['an unknown annotation', { nvext: { annotations: ['x'] } }, 'nvext.annotations[0]'],
  ])('refuses %s by its field', (_, change, param) => {
    expect(refusal(() => readRequest(chatSchema, { ...chat, ...change }))).toMatchObject({ status: 400, param });
  });

  it.each<[Record<string, unknown>, string]>([
    [{ prompt: '' }, 'prompt'],
    [{ prompt: ['a', 'b'] }, 'prompt'],
    [{ prompt: [1, -1] }, 'prompt[1]'],
    [{ logprobs: 6 }, 'logprobs'],
    [{ echo: true }, 'echo'],
  ])('refuses completion %j', (change, param) => {
    expect(refusal(() => readRequest(completionSchema, { ...completion, ...change }))).toMatchObject({ status: 400, param });
  });

  it.each([null, [], 'text', 7])('refuses a body that is %j', (body) => {
    expect(refusal(() => readRequest(chatSchema, body))).toMatchObject({ status: 400, param: 'body' });
  });
});
