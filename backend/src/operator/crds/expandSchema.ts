import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/** JSON, as YAML and OpenAPI documents hold it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

/** Definitions by name (`io.k8s.api.core.v1.PodSpec`), as the API server's `/openapi/v3/api/v1` lists them. */
export type OpenApiSchemas = Record<string, JsonObject>;

export class SchemaError extends Error {
  readonly code = 'CRD_SCHEMA';
  constructor(message: string) {
    super(message);
    this.name = 'SchemaError';
  }
}

const kept = new Set(['type', 'format', 'enum', 'required', 'properties', 'items', 'additionalProperties', 'pattern', 'nullable']);
const intOrString = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';
const quantity = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const quantityPattern = '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$';

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A core type as a structural schema: references inlined, server-only extensions, defaults and descriptions left out. */
function structural(schema: JsonObject, schemas: OpenApiSchemas): JsonObject {
  const references = [schema, ...(Array.isArray(schema['allOf']) ? schema['allOf'] : [])];
  for (const part of references) {
    const reference = isObject(part) ? part['$ref'] : undefined;
    if (typeof reference === 'string') return coreSchema(reference.slice(reference.lastIndexOf('/') + 1), schemas);
  }
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(schema)) {
    if (!kept.has(key)) continue;
    if (key === 'properties')
      result[key] = Object.fromEntries(Object.entries(value as JsonObject).map(([name, part]) => [name, structural(part as JsonObject, schemas)]));
    else if ((key === 'items' || key === 'additionalProperties') && isObject(value)) result[key] = structural(value, schemas);
    else result[key] = value;
  }
  return result;
}

function coreSchema(name: string, schemas: OpenApiSchemas): JsonObject {
  if (name === intOrString) return { 'x-kubernetes-int-or-string': true };
  if (name === quantity) return { 'x-kubernetes-int-or-string': true, pattern: quantityPattern };
  const schema = schemas[name];
  if (schema === undefined) throw new SchemaError(`the API server has no schema named ${name}`);
  return structural(schema, schemas);
}

function fullName(name: string, schemas: OpenApiSchemas): string {
  const found = Object.keys(schemas).find((key) => key.endsWith(`.${name}`) && (key.includes('.core.v1.') || key.includes('.apimachinery.')));
  if (found === undefined) throw new SchemaError(`no core type named ${name}`);
  return found;
}

/**
 * Fills in a CRD source: `{$core: Probe}` becomes the API server's own type, `optional: [name]` drops names from its
 * `required`, `{$file: x.yaml}` becomes that file; other keys beside a marker win, `properties` are united.
 */
export function expandSchema(source: Json, schemas: OpenApiSchemas, dir: string): Json {
  if (Array.isArray(source)) return source.map((item) => expandSchema(item, schemas, dir));
  if (!isObject(source)) return source;
  const { $core, $file, optional, ...rest } = source;
  const own = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, expandSchema(value, schemas, dir)]));
  if ($core === undefined && $file === undefined) return optional === undefined ? own : { ...own, optional: expandSchema(optional, schemas, dir) };
  const base =
    typeof $core === 'string'
      ? coreSchema(fullName($core, schemas), schemas)
      : (expandSchema(parse(readFileSync(path.join(dir, String($file)), 'utf8')) as Json, schemas, dir) as JsonObject);
  const result: JsonObject = { ...base, ...own };
  if (isObject(base['properties']) && isObject(own['properties'])) result['properties'] = { ...base['properties'], ...own['properties'] };
  if (Array.isArray(optional) && Array.isArray(result['required'])) {
    const left = result['required'].filter((name) => !optional.includes(name));
    if (left.length === 0) delete result['required'];
    else result['required'] = left;
  }
  return result;
}
