import type { ReactElement } from 'react';

/** Words between backticks as code, as in Markdown; everything else stays text. */
export function InlineCode({ text }: { text: string }): ReactElement {
  return <>{text.split('`').map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</>;
}
