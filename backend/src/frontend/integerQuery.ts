import type { Request } from 'express';
import { ApiError } from './apiError.ts';

/** A whole number of the query. Throws `ApiError` 400. */
export function integerQuery(request: Request, name: string, fallback: number): number {
  const text = request.query[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (typeof text !== 'string' || !Number.isInteger(value)) throw new ApiError(400, `Validation: ${name} must be an integer`, { param: name });
  return value;
}
