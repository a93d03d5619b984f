import type { EventChannel } from '../discovery/discovery.ts';

export const eventPlanes = ['nats', 'zmq'] as const;
export type EventPlaneKind = (typeof eventPlanes)[number];

export interface EventPlaneState {
  kind: EventPlaneKind;
  connected: boolean;
  /** NATS server, or the publisher's own address. */
  address: string;
  published: number;
  /** Messages that could not be sent; subscribers see them as a gap. */
  dropped: number;
  received: number;
  /** Times the connection came back. */
  reconnects: number;
  /** Why it is not connected. */
  problem?: string;
}

/**
 * Messages from workers to whoever listens. At most once and without memory: who was away has missed what was sent, and
 * finds that out by the event ids inside. Losing the plane never stops a publisher or a subscriber.
 */
export interface EventPlane extends AsyncDisposable {
  readonly kind: EventPlaneKind;
  readonly state: EventPlaneState;
  /** What a publisher of `topic` registers in discovery. */
  channel(topic: string): EventChannel;
  /** Never throws and never waits. */
  publish(topic: string, payload: Uint8Array): void;
  subscribe(subscription: EventSubscriptionOptions): EventSubscription;
  /** Sends what was published so far, then closes. */
  close(): Promise<void>;
}

export interface EventSubscriptionOptions {
  topic: string;
  onMessage: (payload: Uint8Array) => void;
  /** The connection was away and is back: messages may have been missed. */
  onInterruption?: () => void;
}

/** Listens to one topic on the channels added to it. */
export interface EventSubscription extends AsyncDisposable {
  /** Starts listening; adding a channel twice needs removing it twice. A channel of another plane is ignored and reported as false. */
  add(channel: EventChannel): boolean;
  remove(channel: EventChannel): void;
  close(): Promise<void>;
}
