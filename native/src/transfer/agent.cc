#include "agent.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "monotonic.h"

namespace dynamo_labs::transfer {

Agent::Agent(const AgentOptions& options, std::function<void()> wake) : io_(options, std::move(wake)) {
  if (options.name.empty() || options.name.size() > 128 || options.fingerprint.size() > 256) throw AgentError({Code::InvalidParam, Phase::Queued, 0, "name: 1 to 128 bytes, fingerprint: at most 256"});
  if (options.chunk_bytes < 4096 || options.chunk_bytes > maxPayload(FrameType::Data)) throw AgentError({Code::InvalidParam, Phase::Queued, 0, "chunkBytes: 4 KiB to 4 MiB"});
  std::random_device random;
  io_.identity = {options.name, uint64_t(random()) << 32 | random() | 1, options.fingerprint};
  io_.settle = [this](const std::shared_ptr<Transfer>& transfer) { settle(transfer); };
  io_.copy = [this](const std::shared_ptr<Transfer>& transfer, ShmSource source) { workers_->add(transfer, std::move(source)); };
  io_.reroute = [this](const std::shared_ptr<Transfer>& transfer, const Failure& why) { reroute(transfer, why); };
  io_.accept_push = [this](PushOrder&& order) { return acceptPush(std::move(order)); };
  listen();
  workers_ = std::make_unique<CopyWorkers>(
      std::clamp(options.workers, 1, 64), io_.faults.get(), io_.settle, [this](const std::shared_ptr<Transfer>& transfer) {
        io_.poller.post([this, transfer] {
          const auto at = link_of_.find(transfer->id);
          if (at != link_of_.end()) at->second->lost(transfer);
        });
      });
  io_thread_ = std::thread([this] { loop(); });
}

Agent::~Agent() { close(); }

void Agent::close() {
  if (closing_.exchange(true)) return;
  io_.poller.post([] {});
  io_thread_.join(); // it hands out work, so it goes first
  io_.bulk.stop();
  std::vector<std::shared_ptr<Transfer>> left;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, transfer] : transfers_) left.push_back(transfer);
    mapped_.clear();
  }
  for (const auto& transfer : left) transfer->stop({Code::Closed, static_cast<Phase>(transfer->phase.load()), 0, "the agent was closed"});
  workers_.reset();
  for (const auto& transfer : left) settle(transfer);
  for (const auto& [key, link] : links_) link->close();
  std::vector<GrantReport> ended;
  const std::lock_guard lock(io_.pools_mutex);
  for (const auto& [id, pool] : io_.pools) io_.grants.revokePool(id, ended);
  io_.pools.clear();
  io_.loop.clear();
  io_.bulk.clear();
  links_.clear();
  for (const auto& listener : listeners_)
    if (listener->address.is_unix && listener->address.host_or_path[0] != '@') unlink(listener->address.host_or_path.c_str());
  listeners_.clear();
  io_.graveyard.clear();
  io_.ucx.reset();
}

Metadata Agent::metadata() {
  Metadata metadata{io_.identity, io_.addresses, {}};
  const std::lock_guard lock(io_.pools_mutex);
  for (const auto& [id, pool] : io_.pools) metadata.pools.push_back({id, pool->bytes(), pool->blockBytes()});
  return metadata;
}

uint32_t Agent::nextPool() {
  const std::lock_guard lock(io_.pools_mutex);
  return next_pool_++;
}

std::shared_ptr<Pool> Agent::enlist(std::shared_ptr<Pool> pool) {
  const std::lock_guard lock(io_.pools_mutex);
  return io_.pools[pool->id()] = std::move(pool);
}

std::shared_ptr<Pool> Agent::createPool(uint64_t bytes, uint64_t block_bytes, bool prefault) {
  return enlist(Pool::create(nextPool(), io_.identity.epoch, bytes, block_bytes, prefault));
}

std::shared_ptr<Pool> Agent::registerMemory(uint8_t* data, uint64_t bytes, uint64_t block_bytes, std::shared_ptr<const void> keep) {
  return enlist(Pool::over(nextPool(), io_.identity.epoch, data, bytes, block_bytes, std::move(keep)));
}

void Agent::dropPool(uint32_t id) {
  std::vector<GrantReport> ended;
  io_.grants.revokePool(id, ended);
  io_.reportGrants(ended);
  const std::lock_guard lock(io_.pools_mutex);
  io_.pools.erase(id);
}

Failure Agent::grant(const std::shared_ptr<Pool>& pool, const GrantSpec& spec, GrantRef& out) {
  const Failure failure = io_.grants.add(pool, spec, out);
  if (!failure.ok()) return failure;
  io_.metrics.leases_granted++;
  io_.poller.post([this, at = nowNs() + spec.lease_ms * kMs] { grants_due_ = std::min(grants_due_, at); });
  return {};
}

bool Agent::renew(uint64_t grant) { return io_.grants.renew(grant); }

bool Agent::revoke(uint64_t grant) {
  std::vector<GrantReport> ended;
  const bool lived = io_.grants.revoke(grant, ended);
  io_.reportGrants(ended);
  return lived;
}

void Agent::checkAddresses(const std::vector<std::string>& addresses) const {
  for (const std::string& text : addresses) {
    Address address;
    if (!Address::parse(text, address)) throw AgentError({Code::InvalidParam, Phase::Queued, 0, "not an address: " + text});
    if (io_.faults && !address.isLoopback()) throw AgentError({Code::InvalidParam, Phase::Queued, 0, "faults are for loopback only: " + text});
  }
}

std::shared_ptr<Transfer> Agent::enlist(ReadSpec spec) {
  if (closing_) throw AgentError({Code::Closed, Phase::Queued, 0, "the agent was closed"});
  checkAddresses(spec.addresses);
  for (const Piece& piece : spec.pieces)
    if (!spec.local->contains(piece.local, piece.length) || piece.remote + piece.length < piece.remote)
      throw AgentError({Code::InvalidParam, Phase::Queued, 0, "a piece lies outside the local pool"});
  uint64_t id;
  {
    const std::lock_guard lock(mutex_);
    if (transfers_.size() >= io_.options.max_transfers) throw AgentError({Code::Admission, Phase::Queued, 0, "too many transfers are under way"});
    id = next_transfer_++;
  }
  return std::make_shared<Transfer>(id, std::move(spec), io_.options.chunk_bytes);
}

uint64_t Agent::read(ReadSpec spec, TransferResult* immediate) {
  const std::shared_ptr<Transfer> transfer = enlist(std::move(spec));
  if (immediate && readInline(transfer, *immediate)) return transfer->id;
  {
    const std::lock_guard lock(mutex_);
    transfers_[transfer->id] = transfer;
  }
  io_.poller.post([this, transfer] { route(transfer); });
  return transfer->id;
}

bool Agent::readInline(const std::shared_ptr<Transfer>& transfer, TransferResult& out) {
  const ReadSpec& spec = transfer->spec;
  if (io_.faults || spec.on_settled || transfer->plan.bytes() > io_.options.inline_bytes || spec.transports.empty() || spec.transports[0] != TransportKind::Shm) return false;
  ShmSource source;
  {
    const std::lock_guard lock(mutex_);
    const auto at = mapped_.find({spec.peer, spec.peer_epoch, spec.grant.pool});
    if (at == mapped_.end() || !*at->second.owner_lives) return false;
    source = at->second;
  }
  transfer->transport = TransportKind::Shm;
  transfer->setPhase(Phase::Read);
  for (uint32_t chunk = 0; chunk < transfer->plan.chunks(); chunk++) {
    const Code code = copyChunk(source, spec.grant, *spec.local, transfer->plan.begin(chunk), transfer->plan.end(chunk), spec.verify, nullptr);
    if (code == Code::RemoteDisconnect || code == Code::Checksum) return false; // the long way knows what to do
    if (code != Code::Ok) {
      transfer->stop({code, Phase::Read, 0, "the grant ended, or a block was withdrawn"});
      break;
    }
    transfer->chunkDone(chunk, transfer->plan.chunkBytes(chunk));
  }
  transfer->settle();
  out = transfer->result();
  io_.metrics.inline_reads++;
  io_.metrics.ended(TransportKind::Shm, out.failure.code, out.bytes_done, out.duration_us);
  if (out.failure.ok() && (spec.release || !spec.notification.empty())) io_.poller.post([this, transfer] { afterSettled(transfer, true); });
  return true;
}

uint64_t Agent::write(const WriteSpec& spec) {
  ReadSpec shape{spec.peer, spec.peer_epoch, spec.addresses, spec.target, spec.local, spec.pieces, spec.transports, spec.deadline_ms, spec.verify, false, "", {}, 0};
  if (io_.addresses.empty()) throw AgentError({Code::NotSupported, Phase::Queued, 0, "the target reads from the writer, so the writer must listen"});
  const std::shared_ptr<Transfer> transfer = enlist(std::move(shape));
  PushOrder order{io_.identity.name, io_.identity.epoch, io_.addresses, {}, spec.target.id, static_cast<uint32_t>(spec.deadline_ms), spec.verify, spec.notification, {}, {}};
  GrantSpec source;
  source.lease_ms = spec.deadline_ms + 1000;
  for (const Piece& piece : spec.pieces) {
    source.ranges.push_back({piece.local, piece.length});
    order.pieces.push_back({piece.local, piece.remote, piece.length});
  }
  const Failure failure = grant(spec.local, source, order.source);
  if (!failure.ok()) throw AgentError(failure);
  {
    const std::lock_guard lock(mutex_);
    transfers_[transfer->id] = transfer;
  }
  io_.poller.post([this, transfer, order = encode(order)] {
    push_orders_[transfer->id] = order;
    route(transfer);
  });
  return transfer->id;
}

void Agent::cancel(uint64_t id) {
  io_.poller.post([this, id] {
    std::shared_ptr<Transfer> transfer;
    {
      const std::lock_guard lock(mutex_);
      const auto at = transfers_.find(id);
      if (at == transfers_.end()) return;
      transfer = at->second;
    }
    const auto at = link_of_.find(id);
    if (at != link_of_.end()) at->second->drop(transfer);
    if (transfer->stop({Code::Canceled, static_cast<Phase>(transfer->phase.load()), 0, "cancelled by the reader"})) settle(transfer);
  });
}

bool Agent::progress(uint64_t id, Progress& out) {
  const std::lock_guard lock(mutex_);
  const auto at = transfers_.find(id);
  if (at == transfers_.end()) return false;
  const Transfer& transfer = *at->second;
  out = {transfer.bytesDone(), transfer.plan.bytes(), static_cast<Phase>(transfer.phase.load()), transfer.transport};
  return true;
}

void Agent::notify(const std::string& peer, uint64_t epoch, const std::vector<std::string>& addresses, const std::string& payload) {
  checkAddresses(addresses);
  if (payload.size() > maxPayload(FrameType::Notify)) throw AgentError({Code::InvalidParam, Phase::Queued, 0, "a notification has at most 64 KiB"});
  io_.poller.post([this, peer, epoch, addresses, payload] {
    for (const TransportKind kind : {TransportKind::Shm, TransportKind::Tcp, TransportKind::Ucx})
      if (PeerLink* to = link(peer, epoch, kind, addresses)) return to->notify(payload, 0);
  });
}

} // namespace dynamo_labs::transfer
