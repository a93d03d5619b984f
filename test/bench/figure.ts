/** One measured figure. Performance is a ratio against a peer or a limit of the same run; `ok` is false where a stated goal is missed. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  /** What it is compared with, e.g. `memcpy`, `round-robin`. */
  peer?: string;
  /** value / the peer's value. */
  ratio?: number;
  /** [min, max] over the repetitions. */
  spread?: [number, number];
  /** In words, e.g. `≤ 15 s`. */
  goal?: string;
  ok?: boolean;
  /** Why a peer is missing, or what to know when reading it. */
  note?: string;
}

/** One benchmark area: `test/bench/<area>.ts` exports `run`. */
export interface BenchModule {
  /** What the environment of the measuring process has to hold from its start. */
  env?: Record<string, string>;
  run(options: { signal: AbortSignal; log: (line: string) => void; outDir: string }): Promise<Figure[]>;
}
