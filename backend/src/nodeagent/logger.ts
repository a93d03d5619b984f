/** One line per message on stderr: the supervisor keeps them in the component's log file. */
export interface Logger {
  info(message: string): void;
  warn(message: string, error?: unknown): void;
}

export function createLogger(write: (line: string) => void = (line) => process.stderr.write(line)): Logger {
  const line = (level: string, message: string): void => write(`${new Date().toISOString()} ${level} ${message}\n`);
  return {
    info: (message) => line('INFO', message),
    warn: (message, error) => line('WARN', error === undefined ? message : `${message}: ${error instanceof Error ? error.message : String(error)}`),
  };
}
