import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';

/** One message of the Jupyter messaging protocol 5.3 as it lies on the wire: identities, delimiter, signature, four JSON parts. */
export interface WireMessage {
  /** ZeroMQ routing prefix; empty on PUB and DEALER sockets. */
  identities: Buffer[];
  header: WireHeader;
  parent: Partial<WireHeader>;
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
}

export interface WireHeader {
  msg_id: string;
  msg_type: string;
  session: string;
  username: string;
  date: string;
  version: string;
}

/** The bytes are not a message signed with our key. Such a message is dropped, never answered. */
export class WireMessageError extends Error {
  readonly code = 'WIRE_MESSAGE';
  override readonly name = 'WireMessageError';
}

const delimiter = Buffer.from('<IDS|MSG>');

/** @throws {WireMessageError} on a missing delimiter, a wrong signature or broken JSON. */
export function decodeWireMessage(frames: Buffer[], key: string): WireMessage {
  const at = frames.findIndex((frame) => frame.equals(delimiter));
  const [signature, ...parts] = at < 0 ? [] : frames.slice(at + 1);
  if (signature === undefined || parts.length < 4) throw new WireMessageError('not a Jupyter message: the delimiter or a part is missing');
  const signed = parts.slice(0, 4);
  if (key !== '') {
    const expected = Buffer.from(sign(signed, key));
    if (expected.length !== signature.length || !timingSafeEqual(expected, signature)) throw new WireMessageError('the signature does not match');
  }
  try {
    const [header, parent, metadata, content] = signed.map((part) => JSON.parse(part.toString()));
    return { identities: frames.slice(0, at), header, parent, metadata, content };
  } catch (cause) {
    throw new WireMessageError('a part is not JSON', { cause });
  }
}

export function encodeWireMessage(message: WireMessage, key: string): Buffer[] {
  const parts = [message.header, message.parent, message.metadata, message.content].map((part) => Buffer.from(JSON.stringify(part)));
  return [...message.identities, delimiter, Buffer.from(key === '' ? '' : sign(parts, key)), ...parts];
}

/** A message of `type` that answers `parent`: same routing, same session, the parent's header as its own parent. */
export function replyTo(parent: WireMessage, type: string, content: Record<string, unknown>): WireMessage {
  const { session, username } = parent.header;
  return {
    identities: parent.identities,
    header: { msg_id: randomUUID(), msg_type: type, session, username, date: new Date().toISOString(), version: '5.3' },
    parent: parent.header,
    metadata: {},
    content,
  };
}

function sign(parts: Buffer[], key: string): string {
  const hmac = createHmac('sha256', key);
  for (const part of parts) hmac.update(part);
  return hmac.digest('hex');
}
