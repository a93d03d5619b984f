/** Types and validators that several parts share. Imports nothing of ours and no node APIs. */
export type * from './decision.ts';
export type * from './disaggregation.ts';
export type * from './kvEvents.ts';
export type * from './lab.ts';
export type * from './requestRecord.ts';
export type * from './tokens.ts';
export type * from './trace.ts';
