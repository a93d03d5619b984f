/** Compiles and bundles the browser part unless nothing changed since; returns whether it did. */
export function buildExtension(options?: { force?: boolean }): boolean;

/** Puts the built extension into a Python environment (default: the project's `.venv`); returns whether anything was written. */
export function installExtension(options?: { prefix?: string }): boolean;
