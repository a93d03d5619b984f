export interface InstallKernelOptions {
  /** Python environment; default `.venv` of the project. */
  prefix?: string;
  /** Absolute path of the Node that runs kernels; default the one that the project brings. */
  node?: string;
}

/** Writes `<prefix>/share/jupyter/kernels/tslab`; touches only files whose content differs. */
export function installKernel(options?: InstallKernelOptions): { changed: boolean; file: string };
