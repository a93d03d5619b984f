#include "napi_transfer_values.h"

#include <thread>

namespace dynamo_labs {

using namespace transfer;

namespace {

void put(Napi::Object& to, const char* field, uint64_t value) { to.Set(field, static_cast<double>(value)); }

Napi::Object toObject(Napi::Env env, const Failure& failure) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("code", name(failure.code));
  out.Set("phase", name(failure.phase));
  out.Set("errno", failure.err);
  out.Set("message", failure.message);
  out.Set("retryable", retryable(failure.code));
  return out;
}

FaultSpec readFault(const Arguments& from) {
  FaultSpec fault;
  if (!parseFaultKind(from.string("kind"), fault.kind)) throw Failure{Code::InvalidParam, Phase::Queued, 0, "no such fault: " + from.string("kind")};
  fault.side = from.string("side") == "read" ? FaultSide::Read : FaultSide::Serve;
  if (from.has("afterBytes")) fault.after_bytes = from.offset("afterBytes");
  if (from.has("withinBytes")) fault.within_bytes = from.offset("withinBytes");
  if (from.has("times")) fault.times = static_cast<uint32_t>(from.integer("times"));
  if (from.has("ms")) fault.ms = from.integer("ms");
  if (from.has("bytesPerSecond")) fault.bytes_per_second = from.offset("bytesPerSecond");
  if (from.has("pid")) fault.pid = from.integer("pid");
  return fault;
}

} // namespace

Napi::Error toError(Napi::Env env, const Failure& failure) {
  const Napi::Error error = Napi::Error::New(env, failure.message);
  error.Value().Set("code", name(failure.code));
  error.Value().Set("phase", name(failure.phase));
  error.Value().Set("errno", failure.err);
  return error;
}

Napi::Value toValue(Napi::Env env, const TransferResult& result) {
  Napi::Object out = toObject(env, result.failure);
  put(out, "id", result.id);
  out.Set("peer", result.peer);
  out.Set("transport", name(result.transport));
  put(out, "bytes", result.bytes);
  put(out, "bytesDone", result.bytes_done);
  put(out, "blocksDone", result.blocks_done);
  put(out, "chunks", result.chunks);
  put(out, "chunksDone", result.chunks_done);
  put(out, "pieces", result.pieces);
  put(out, "retries", result.retries);
  put(out, "checksumFailures", result.checksum_failures);
  put(out, "resumedBytes", result.resumed_bytes);
  put(out, "durationUs", static_cast<uint64_t>(result.duration_us));
  put(out, "timelineDropped", result.timeline_dropped);
  Napi::Array fallbacks = Napi::Array::New(env);
  for (const Fallback& fallback : result.fallbacks) {
    Napi::Object entry = toObject(env, fallback.why);
    entry.Set("from", name(fallback.from));
    fallbacks.Set(fallbacks.Length(), entry);
  }
  out.Set("fallbacks", fallbacks);
  Napi::Array timeline = Napi::Array::New(env);
  for (const Timeline::Entry& at : result.timeline) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("what", at.what);
    entry.Set("atUs", static_cast<double>(at.at_us));
    if (!at.detail.empty()) entry.Set("detail", at.detail);
    timeline.Set(timeline.Length(), entry);
  }
  out.Set("timeline", timeline);
  return out;
}

Napi::Value toValue(Napi::Env env, const Event& event) {
  Napi::Object out = Napi::Object::New(env);
  if (const auto* result = std::get_if<TransferResult>(&event)) {
    out.Set("type", "settled");
    out.Set("result", toValue(env, *result));
  } else if (const auto* notification = std::get_if<Notification>(&event)) {
    out.Set("type", "notification");
    out.Set("from", notification->from);
    out.Set("payload", Napi::Buffer<char>::Copy(env, notification->payload.data(), notification->payload.size()));
  } else if (const auto* grant = std::get_if<GrantReport>(&event)) {
    out.Set("type", "grant");
    put(out, "id", grant->ref.id);
    put(out, "pool", grant->ref.pool);
    out.Set("end", name(grant->end));
    out.Set("requestId", grant->request_id);
    put(out, "bytes", grant->bytes);
    put(out, "bytesServed", grant->bytes_served);
    put(out, "renewals", grant->renewals);
    put(out, "releases", grant->releases);
  } else if (const auto* refused = std::get_if<Refused>(&event)) {
    out = toObject(env, refused->why);
    out.Set("type", "refused");
    out.Set("peer", refused->peer);
  }
  return out;
}

Napi::Value toValue(Napi::Env env, const GrantRef& grant) {
  Napi::Object out = Napi::Object::New(env);
  put(out, "id", grant.id);
  put(out, "pool", grant.pool);
  put(out, "slot", grant.slot);
  put(out, "clock", grant.clock);
  return out;
}

Napi::Value toValue(Napi::Env env, const Metrics& metrics, size_t live_grants) {
  Napi::Object out = Napi::Object::New(env), read = Napi::Object::New(env), transfers = Napi::Object::New(env), fallbacks = Napi::Object::New(env),
               refused = Napi::Object::New(env), leases = Napi::Object::New(env);
  for (size_t kind = 0; kind < 5; kind++) {
    const char* transport = name(static_cast<TransportKind>(kind));
    put(read, transport, metrics.bytes_read[kind]);
    put(fallbacks, transport, metrics.fallbacks[kind]);
    Napi::Object codes = Napi::Object::New(env);
    for (size_t code = 0; code < kCodes; code++)
      if (metrics.transfers[kind][code] > 0) put(codes, name(static_cast<Code>(code)), metrics.transfers[kind][code]);
    transfers.Set(transport, codes);
  }
  for (size_t code = 1; code < kCodes; code++)
    if (metrics.refused[code] > 0) put(refused, name(static_cast<Code>(code)), metrics.refused[code]);
  for (size_t end = 0; end < 4; end++) put(leases, name(static_cast<GrantEnd>(end)), metrics.leases_ended[end]);
  Napi::Array buckets = Napi::Array::New(env);
  for (const auto& bucket : metrics.duration_bucket) buckets.Set(buckets.Length(), static_cast<double>(bucket.load()));
  out.Set("bytesRead", read);
  out.Set("transfers", transfers);
  out.Set("fallbacks", fallbacks);
  out.Set("refused", refused);
  out.Set("leasesEnded", leases);
  out.Set("durationBuckets", buckets);
  put(out, "durationUsSum", metrics.duration_us_sum);
  put(out, "durationCount", metrics.duration_count);
  put(out, "bytesServed", metrics.bytes_served);
  put(out, "retries", metrics.retries);
  put(out, "resumedBytes", metrics.resumed_bytes);
  put(out, "checksumFailures", metrics.checksum_failures);
  put(out, "inlineReads", metrics.inline_reads);
  put(out, "creditStalls", metrics.credit_stalls);
  put(out, "notificationsSent", metrics.notifications_sent);
  put(out, "notificationsReceived", metrics.notifications_received);
  put(out, "notificationsRepeated", metrics.notifications_repeated);
  put(out, "leasesGranted", metrics.leases_granted);
  put(out, "leasesRenewed", metrics.leases_renewed);
  put(out, "leasesLive", live_grants);
  return out;
}

AgentOptions readAgentOptions(const Arguments& from) {
  AgentOptions options;
  options.name = from.string("name");
  options.fingerprint = from.string("fingerprint");
  options.token = from.string("token");
  options.listen = readStrings(from.array("listen"));
  options.workers = from.has("workers") ? from.integer("workers") : std::thread::hardware_concurrency() > 1 ? 2 : 1;
  options.lanes = from.has("lanes") ? from.integer("lanes") : std::thread::hardware_concurrency() > 1 ? 2 : 1;
  if (from.has("chunkBytes")) options.chunk_bytes = static_cast<uint32_t>(from.integer("chunkBytes"));
  if (from.has("peerWindowBytes")) options.peer_window = from.offset("peerWindowBytes");
  if (from.has("windowBytes")) options.window = from.offset("windowBytes");
  if (from.has("maxTransfers")) options.max_transfers = static_cast<uint32_t>(from.integer("maxTransfers"));
  if (from.has("maxConnections")) options.max_connections = static_cast<uint32_t>(from.integer("maxConnections"));
  if (from.has("handshakeMs")) options.handshake_ms = from.integer("handshakeMs");
  if (from.has("inlineBytes")) options.inline_bytes = from.offset("inlineBytes");
  if (from.has("faultSeed")) options.fault_seed = from.offset("faultSeed");
  const Napi::Array faults = from.array("faults");
  for (uint32_t i = 0; i < faults.Length(); i++) options.faults.push_back(readFault(Arguments(faults.Get(i), "faults")));
  return options;
}

GrantRef readGrantRef(const Arguments& from) {
  return {from.offset("id"), static_cast<uint32_t>(from.offset("pool")), static_cast<uint32_t>(from.offset("slot")), from.offset("clock")};
}

std::vector<Piece> readPieces(const Arguments& from) {
  const std::vector<double> numbers = from.float64s("pieces");
  std::vector<Piece> pieces(numbers.size() / 3);
  for (size_t i = 0; i < pieces.size(); i++) {
    for (size_t k = 0; k < 3; k++)
      if (!(numbers[3 * i + k] >= 0 && numbers[3 * i + k] < 9007199254740992.0)) throw Failure{Code::InvalidParam, Phase::Queued, 0, "`pieces` holds something that is no offset"};
    pieces[i] = {static_cast<uint64_t>(numbers[3 * i]), static_cast<uint64_t>(numbers[3 * i + 1]), static_cast<uint64_t>(numbers[3 * i + 2])};
  }
  return pieces;
}

std::vector<Range> readRanges(const Arguments& from) {
  const std::vector<double> numbers = from.float64s("ranges");
  std::vector<Range> ranges(numbers.size() / 2);
  for (size_t i = 0; i < ranges.size(); i++) {
    if (!(numbers[2 * i] >= 0 && numbers[2 * i + 1] >= 0 && numbers[2 * i] + numbers[2 * i + 1] < 9007199254740992.0))
      throw Failure{Code::InvalidParam, Phase::Queued, 0, "`ranges` holds something that is no offset"};
    ranges[i] = {static_cast<uint64_t>(numbers[2 * i]), static_cast<uint64_t>(numbers[2 * i + 1])};
  }
  return ranges;
}

std::vector<std::string> readStrings(const Napi::Array& from) {
  std::vector<std::string> out;
  for (uint32_t i = 0; i < from.Length(); i++) out.push_back(from.Get(i).ToString().Utf8Value());
  return out;
}

std::vector<TransportKind> readTransports(const Napi::Array& from) {
  std::vector<TransportKind> out;
  for (const std::string& text : readStrings(from)) {
    const TransportKind kind = text == "shm" ? TransportKind::Shm : text == "uds" ? TransportKind::Uds : text == "tcp" ? TransportKind::Tcp : TransportKind::Ucx;
    if (text != name(kind)) throw Failure{Code::InvalidParam, Phase::Queued, 0, "no such transport: " + text};
    out.push_back(kind);
  }
  return out;
}

uint8_t* bytesOf(const Napi::Value& value, uint64_t& bytes) {
  if (!value.IsArrayBuffer()) throw Napi::TypeError::New(value.Env(), "Expected an ArrayBuffer");
  Napi::ArrayBuffer buffer = value.As<Napi::ArrayBuffer>();
  bytes = buffer.ByteLength();
  return static_cast<uint8_t*>(buffer.Data());
}

} // namespace dynamo_labs
