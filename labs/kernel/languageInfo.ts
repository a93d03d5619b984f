/**
 * What the kernel says of its language. Generated notebooks carry the same, so that JupyterLab has nothing to correct
 * when it opens one: it would mark the notebook as changed.
 */
export const languageInfo = {
  name: 'typescript',
  /** Of the compiler in tslab 1.0.22. */
  version: '5.0.4',
  mimetype: 'text/typescript',
  file_extension: '.ts',
  codemirror_mode: { mode: 'typescript', name: 'javascript', typescript: true },
  nbconvert_exporter: 'script',
} as const;
