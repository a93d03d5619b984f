/** Markup that is safe to embed: only `html` and `join` make it. */
export interface Markup {
  readonly markup: string;
}

/** Tagged template: interpolated values are escaped unless they are markup themselves; arrays are joined. */
export function html(strings: TemplateStringsArray, ...values: readonly unknown[]): Markup {
  return { markup: strings.map((text, i) => text + (i < values.length ? embed(values[i]) : '')).join('') };
}

function embed(value: unknown): string {
  if (Array.isArray(value)) return value.map(embed).join('');
  if (typeof value === 'object' && value !== null && 'markup' in value) return String(value.markup);
  if (value === undefined || value === null || value === false) return '';
  return String(value).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** JupyterLab's theme variables, each with a value for viewers that have no theme. */
export const theme = {
  text: 'var(--jp-ui-font-color1, #212121)',
  quiet: 'var(--jp-ui-font-color2, #616161)',
  border: 'var(--jp-border-color2, #e0e0e0)',
  surface: 'var(--jp-layout-color1, #ffffff)',
  raised: 'var(--jp-layout-color2, #f5f5f5)',
  accent: 'var(--jp-brand-color1, #1976d2)',
  success: 'var(--jp-success-color1, #388e3c)',
  warn: 'var(--jp-warn-color1, #f57c00)',
  error: 'var(--jp-error-color1, #d32f2f)',
  font: 'var(--jp-ui-font-family, system-ui, sans-serif)',
  code: 'var(--jp-code-font-family, monospace)',
} as const;
