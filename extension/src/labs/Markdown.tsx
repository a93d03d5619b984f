import { MimeModel } from '@jupyterlab/rendermime';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { useEffect, useRef } from 'react';
import type { ReactElement } from 'react';

/** Markdown through JupyterLab's own renderer, sanitised. */
export function Markdown({ source, rendermime }: { source: string; rendermime: IRenderMimeRegistry }): ReactElement {
  const node = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const renderer = rendermime.createRenderer('text/markdown');
    let gone = false;
    void renderer.renderModel(new MimeModel({ data: { 'text/markdown': source }, trusted: false })).then(() => {
      if (!gone) node.current?.replaceChildren(renderer.node);
    });
    return () => {
      gone = true;
      renderer.dispose();
    };
  }, [source, rendermime]);
  return <div className="dl-Markdown" ref={node} />;
}
