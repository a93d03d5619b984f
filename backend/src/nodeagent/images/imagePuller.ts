import type { EventText } from '../events/eventRecorder.ts';
import { backOffUntil, nextBackOff, type BackOff } from '../pods/backOff.ts';
import type { Container } from '../pods/pod.ts';
import type { ImageCatalogue, ResolvedImage } from './imageCatalogue.ts';
import { defaultPullPolicy, parseImage } from './imageReference.ts';

/** An image that cannot be used now. `reason` is the container's waiting reason, `retryAt` (Unix ms) when to look again. */
export class ImageError extends Error {
  readonly code = 'IMAGE_UNAVAILABLE';
  readonly reason: string;
  readonly retryAt: number;
  constructor(message: string, options: { reason: string; retryAt: number }) {
    super(message);
    this.name = 'ImageError';
    this.reason = options.reason;
    this.retryAt = options.retryAt;
  }
}

interface Failure {
  backOff: BackOff;
  at: number;
  message: string;
}

/** Between the first ErrImagePull and ImagePullBackOff, so that both can be seen, as with a kubelet's next sync. */
const nextLookMs = 1_000;

/** "Pulls" images: looks them up in the catalogue with the kubelet's events, texts and back-off (pkg/kubelet/images). */
export class ImagePuller {
  readonly catalogue: ImageCatalogue;
  readonly #present = new Set<string>();
  readonly #failures = new Map<string, Failure>();

  constructor(catalogue: ImageCatalogue) {
    this.catalogue = catalogue;
  }

  /** The image of a container, with the events of getting it. Throws `ImageError`. */
  ensure(uid: string, container: Container, record: (event: EventText) => void): ResolvedImage {
    const { image } = container;
    const now = Date.now();
    const key = `${uid}_${image}`;
    if (parseImage(image) === undefined) {
      const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
      record({ type: 'Warning', reason: 'InspectFailed', message });
      throw new ImageError(message, { reason: 'InvalidImageName', retryAt: now + 10_000 });
    }
    const policy = container.imagePullPolicy ?? defaultPullPolicy(image);
    const resolved = this.catalogue.resolve(image);
    if (resolved !== undefined && policy !== 'Always' && (policy === 'Never' || this.#present.has(image))) {
      record({ type: 'Normal', reason: 'Pulled', message: `Container image "${image}" already present on machine and can be accessed by the pod` });
      return resolved;
    }
    if (resolved === undefined && policy === 'Never') {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      record({ type: 'Warning', reason: 'ErrImageNeverPull', message });
      record({ type: 'Warning', reason: 'Failed', message: 'Error: ErrImageNeverPull' });
      throw new ImageError(message, { reason: 'ErrImageNeverPull', retryAt: now + 10_000 });
    }
    const failure = this.#failures.get(key);
    const waits = failure === undefined ? undefined : backOffUntil(failure.backOff, failure.at, now);
    if (failure !== undefined && waits !== undefined) {
      record({ type: 'Normal', reason: 'BackOff', message: `Back-off pulling image "${image}"` });
      record({ type: 'Warning', reason: 'Failed', message: 'Error: ImagePullBackOff' });
      throw new ImageError(`Back-off pulling image "${image}": ErrImagePull: ${failure.message}`, { reason: 'ImagePullBackOff', retryAt: waits });
    }
    record({ type: 'Normal', reason: 'Pulling', message: `Pulling image "${image}"` });
    if (resolved === undefined) {
      const message = `failed to pull and unpack image "${image}": failed to resolve reference: no entry for it in this cluster's image catalogue`;
      record({ type: 'Warning', reason: 'Failed', message: `Failed to pull image "${image}": ${message}` });
      record({ type: 'Warning', reason: 'Failed', message: 'Error: ErrImagePull' });
      this.#failures.set(key, { backOff: nextBackOff(failure?.backOff, now, now), at: now, message });
      throw new ImageError(message, { reason: 'ErrImagePull', retryAt: now + nextLookMs });
    }
    record({ type: 'Normal', reason: 'Pulled', message: `Successfully pulled image "${image}" in 0s (0s including waiting). Image size: 0 bytes.` });
    this.#present.add(image);
    this.#failures.delete(key);
    return resolved;
  }

  forget(uid: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}_`)) this.#failures.delete(key);
  }
}
