import { z } from 'zod';
import { invalidField } from './apiError.ts';

/** A parameter of the API that is known and not served: any value but the harmless ones is refused by name. */
const unsupported = (...harmless: unknown[]) =>
  z
    .unknown()
    .refine(
      (value) => value === undefined || value === null || harmless.some((one) => JSON.stringify(one) === JSON.stringify(value)),
      'is not supported by this server',
    );

const integer = (minimum: number, maximum = Number.MAX_SAFE_INTEGER) => z.number().int().min(minimum).max(maximum);
const optional = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined);

const workerId = z.union([z.string().regex(/^\d+$/), integer(0)]);

/** Dynamo's extension of the OpenAI request. */
const nvext = z.strictObject({
  ignore_eos: optional(z.boolean()),
  top_k: optional(integer(-1)),
  greed_sampling: optional(z.boolean()),
  annotations: optional(z.array(z.enum(['query_instance_id', 'request_id', 'formatted_prompt', 'token_ids']))),
  extra_fields: optional(z.array(z.enum(['worker_id', 'timing', 'request_record']))),
  backend_instance_id: optional(workerId),
  prefill_worker_id: optional(workerId),
  decode_worker_id: optional(workerId),
  agent_hints: optional(z.looseObject({ priority: optional(integer(-(2 ** 31), 2 ** 31 - 1)), strict_priority: optional(integer(0, 2 ** 32 - 1)) })),
});

/** What both completion endpoints share. */
const common = {
  model: z.string().min(1),
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()), include_obfuscation: optional(z.boolean()) })),
  max_tokens: optional(integer(1)),
  min_tokens: optional(integer(0)),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().gt(0).max(1)),
  top_k: optional(integer(-1)),
  seed: optional(z.number().int()),
  stop: optional(z.union([z.string().min(1), z.array(z.string().min(1)).max(4)])),
  stop_token_ids: optional(z.array(integer(0)).max(64)),
  ignore_eos: optional(z.boolean()),
  n: optional(integer(1, 1)),
  nvext: optional(nvext),
  presence_penalty: unsupported(0),
  frequency_penalty: unsupported(0),
  repetition_penalty: unsupported(1),
  logit_bias: unsupported({}),
  user: z.unknown(),
  metadata: z.unknown(),
  store: unsupported(false),
  service_tier: z.unknown(),
  safety_identifier: z.unknown(),
  prompt_cache_key: z.unknown(),
};

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() });

const message = z
  .strictObject({
    role: z.enum(['system', 'developer', 'user', 'assistant']),
    content: z.union([z.string(), z.array(textPart).min(1)], 'must be a string or a list of text parts'),
    name: optional(z.string()),
    refusal: unsupported(),
    tool_calls: unsupported([]),
    function_call: unsupported(),
    audio: unsupported(),
  })
  .transform(({ role, content }) => ({
    role: role === 'developer' ? ('system' as const) : role,
    content: typeof content === 'string' ? content : content.map(({ text }) => text).join(''),
  }));

export const chatSchema = z.strictObject({
  ...common,
  messages: z.array(message).min(1),
  max_completion_tokens: optional(integer(1)),
  logprobs: optional(z.boolean()),
  top_logprobs: optional(integer(0, 20)),
  tools: unsupported([]),
  tool_choice: unsupported('none', 'auto'),
  parallel_tool_calls: z.unknown(),
  functions: unsupported([]),
  response_format: unsupported({ type: 'text' }),
  modalities: unsupported(['text']),
  audio: unsupported(),
  reasoning_effort: z.unknown(),
});

export const completionSchema = z.strictObject({
  ...common,
  prompt: z.union([z.string().min(1), z.array(integer(0)).min(1), z.array(z.string()).length(1)], 'must be one string or one list of token ids'),
  logprobs: optional(integer(0, 5)),
  best_of: unsupported(1),
  echo: unsupported(false),
  suffix: unsupported(''),
});

export type ChatRequest = z.output<typeof chatSchema>;
export type CompletionRequest = z.output<typeof completionSchema>;

/** Checks a body; the first thing that is wrong becomes an `ApiError` 400 that names its field. */
export function readRequest<T>(schema: z.ZodType<T>, body: unknown): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalidField('body', 'the body must be a JSON object');
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = deepest(parsed.error.issues[0] as z.core.$ZodIssue);
  if (issue.code === 'unrecognized_keys') {
    const param = fieldName([...issue.path, issue.keys[0] as string]);
    throw invalidField(param, `Unrecognized request argument supplied: ${param}`, 'unknown_parameter');
  }
  const param = fieldName(issue.path);
  const missing = issue.code === 'invalid_type' && valueAt(body, issue.path) === undefined;
  throw invalidField(
    param,
    missing ? `Missing required parameter: '${param}'` : `${param}: ${issue.message}`,
    missing ? 'missing_required_parameter' : 'invalid_value',
  );
}

/** Of a union that fits nowhere: what is wrong with the branch that got furthest. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  const inner = issue.errors.map((errors) => errors[0]).filter((error) => error !== undefined);
  const furthest = inner.toSorted((a, b) => b.path.length - a.path.length)[0];
  return furthest === undefined || furthest.path.length === 0 ? issue : deepest({ ...furthest, path: [...issue.path, ...furthest.path] } as z.core.$ZodIssue);
}

function fieldName(path: readonly PropertyKey[]): string {
  return (
    path.reduce<string>((name, part) => (typeof part === 'number' ? `${name}[${part}]` : name === '' ? String(part) : `${name}.${String(part)}`), '') || 'body'
  );
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => (typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined), body);
}
