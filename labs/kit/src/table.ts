import { html, theme } from './html';
import { Picture } from './rich';

/** Per column: whether all its cells are numbers, with or without a percent sign. */
function numericColumns(columns: readonly string[], rows: readonly (readonly string[])[]): boolean[] {
  return columns.map((_, i) => rows.length > 0 && rows.every((row) => /^(-?[\d.]+( ?%)?)?$/.test(row[i] ?? '')));
}

/** Columns padded to their widest cell; numbers to the right. */
export function plainTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map((row) => (row[i] ?? '').length)));
  const isNumber = numericColumns(columns, rows);
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(columns), ...rows.map(line)].join('\n');
}

/** Any list of records as a table; columns are the keys in order of first appearance. */
export function tablePicture(records: readonly Record<string, unknown>[], caption?: string): Picture {
  const columns = [...new Set(records.flatMap((record) => Object.keys(record)))];
  const rows = records.map((record) => columns.map((column) => (record[column] === undefined || record[column] === null ? '' : String(record[column]))));
  const isNumber = numericColumns(columns, rows);
  const cell = (i: number): string => `text-align:${isNumber[i] ? 'right' : 'left'};padding:2px 10px;border:0;border-bottom:1px solid ${theme.border}`;
  const table = html`<table style="border-collapse:collapse;font-family:${theme.font};color:${theme.text}">
    ${
      caption !== undefined &&
      html`<caption style="text-align:left;font-weight:600">
        ${caption}
      </caption>`
    }
    <thead>
      <tr>
        ${columns.map((column, i) => html`<th scope="col" style="${cell(i)};color:${theme.quiet}">${column}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        (row) =>
          html`<tr>
            ${row.map((value, i) => html`<td style="${cell(i)}">${value}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`;
  return new Picture({ 'text/plain': [...(caption === undefined ? [] : [caption]), plainTable(columns, rows)].join('\n'), 'text/html': table.markup });
}
