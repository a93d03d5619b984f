/** Compiles the kit into `dist` unless that is newer than every source; returns whether it compiled. */
export function buildKit(): boolean;
