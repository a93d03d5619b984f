/** A parsed image name. `name` is familiar (`busybox`, `natsio/nats-box`), not `docker.io/library/busybox`. */
export interface ImageReference {
  name: string;
  /** `latest` where neither tag nor digest is given. */
  tag: string;
}

/** Splits an image name into name and tag (or digest); undefined when it is not a valid reference. */
export function parseImage(image: string): ImageReference | undefined {
  const match =
    /^((?:[a-zA-Z0-9.-]+(?::\d+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*)(?::([\w][\w.-]{0,127}))?(?:@([a-z0-9]+:[0-9a-f]{32,}))?$/.exec(
      image,
    );
  if (match === null) return undefined;
  const name = match[1]!.replace(/^(?:index\.)?docker\.io\//, '').replace(/^library\//, '');
  return { name, tag: match[2] ?? match[3] ?? 'latest' };
}

/** The pull policy the API server would set: `Always` for `:latest` or no tag, else `IfNotPresent`. */
export function defaultPullPolicy(image: string): 'Always' | 'IfNotPresent' {
  return parseImage(image)?.tag === 'latest' ? 'Always' : 'IfNotPresent';
}
