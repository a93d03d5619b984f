/** A command of the command line: gets what follows its name and a signal that Ctrl-C aborts; resolves with the exit code. */
export type Command = (args: string[], signal: AbortSignal) => Promise<number>;
