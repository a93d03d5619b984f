#include "push_order.h"

#include "byte_codec.h"

namespace dynamo_labs::transfer {

std::vector<uint8_t> encode(const PushOrder& order) {
  ByteWriter out;
  out.text(order.writer).put(order.writer_epoch).put(static_cast<uint16_t>(order.addresses.size()));
  for (const std::string& address : order.addresses) out.text(address);
  out.put(order.source.id).put(order.source.pool).put(order.source.slot).put(order.source.clock);
  out.put(order.target_grant).put(order.deadline_ms).put(static_cast<uint8_t>(order.verify)).text(order.notification);
  for (const Piece& piece : order.pieces) out.put(piece.remote).put(piece.local).put(piece.length);
  return out.take();
}

std::optional<PushOrder> decodePushOrder(const uint8_t* data, size_t bytes) {
  ByteReader in(data, bytes);
  PushOrder order;
  order.writer = in.text(128);
  order.writer_epoch = in.get<uint64_t>();
  const uint16_t addresses = in.get<uint16_t>();
  if (!in.ok() || addresses > 16) return std::nullopt;
  for (uint16_t i = 0; i < addresses; i++) order.addresses.push_back(in.text(256));
  order.source.id = in.get<uint64_t>();
  order.source.pool = in.get<uint32_t>();
  order.source.slot = in.get<uint32_t>();
  order.source.clock = in.get<uint64_t>();
  order.target_grant = in.get<uint64_t>();
  order.deadline_ms = in.get<uint32_t>();
  order.verify = in.get<uint8_t>() != 0;
  order.notification = in.text(60 << 10);
  if (!in.ok() || in.left() % 24 != 0) return std::nullopt;
  order.pieces.reserve(in.left() / 24);
  while (in.left() > 0) {
    Piece piece;
    piece.remote = in.get<uint64_t>();
    piece.local = in.get<uint64_t>();
    piece.length = in.get<uint64_t>();
    order.pieces.push_back(piece);
  }
  return in.done() ? std::optional(std::move(order)) : std::nullopt;
}

} // namespace dynamo_labs::transfer
