import type ts from '@tslab/typescript-for-tslab';

/**
 * Writes `{ name }` as `{ name: name }`. tslab rewrites a name of an earlier cell to `exports.name`, but overlooks it in
 * the short form, and the cell ends with "name is not defined". Returns the same string where there is nothing to do.
 */
export function expandShorthandProperties(typescript: typeof ts, source: string): string {
  const ends: { at: number; name: string }[] = [];
  const visit = (node: ts.Node): void => {
    if (typescript.isShorthandPropertyAssignment(node)) ends.push({ at: node.name.end, name: node.name.text });
    typescript.forEachChild(node, visit);
  };
  visit(typescript.createSourceFile('cell.ts', source, typescript.ScriptTarget.Latest));
  let result = source;
  for (const { at, name } of ends.reverse()) result = `${result.slice(0, at)}: ${name}${result.slice(at)}`;
  return result;
}
