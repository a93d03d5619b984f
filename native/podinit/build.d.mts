export declare const podinitFiles: { program: string; preload: string };

export declare class PodinitBuildError extends Error {
  readonly code: 'PODINIT_BUILD_FAILED';
}

export declare function buildPodinit(env?: NodeJS.ProcessEnv): { program: string; preload: string; built: boolean };
