// The agent's IO thread: listening, routing transfers to links, deadlines, leases.
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "agent.h"
#include "monotonic.h"

namespace dynamo_labs::transfer {

void Agent::listen() {
  checkAddresses(io_.options.listen);
  for (const std::string& text : io_.options.listen) {
    Address wanted, bound;
    Address::parse(text, wanted);
    if (wanted.is_ucx) {
      listenByUcx(wanted);
      continue;
    }
    int err = 0;
    UniqueFd fd = listenOn(wanted, bound, err);
    if (!fd.valid()) throw AgentError({Code::Backend, Phase::Queued, err, "cannot listen on " + text + ": " + std::strerror(err)});
    if (bound.is_unix && bound.host_or_path[0] != '@') chmod(bound.host_or_path.c_str(), 0600);
    io_.addresses.push_back(bound.text());
    listeners_.push_back(std::make_unique<Listener>(*this, std::move(fd), bound));
    io_.poller.add(listeners_.back()->fd.get(), EPOLLIN, listeners_.back().get());
  }
}

void Agent::listenByUcx(const Address& wanted) {
  std::string why;
  UcxWorker* worker = io_.ucxWorker(why);
  if (!worker) throw AgentError({Code::NotSupported, Phase::Queued, 0, "cannot listen on " + wanted.text() + ": " + why});
  Address bound;
  try {
    worker->listen(wanted, bound, [this, wanted](std::unique_ptr<ByteStream> stream) { admit(std::move(stream), wanted); });
  } catch (const std::runtime_error& error) {
    throw AgentError({Code::Backend, Phase::Queued, 0, "cannot listen on " + wanted.text() + ": " + error.what()});
  }
  io_.addresses.push_back(bound.text());
}

void Agent::Listener::onReady(uint32_t) { agent.accept(*this); }

void Agent::accept(Listener& listener) {
  for (;;) {
    UniqueFd fd(accept4(listener.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) return;
    tuneStream(fd.get(), listener.address);
    admit(std::make_unique<SocketStream>(io_.poller, std::move(fd)), listener.address);
  }
}

void Agent::admit(std::unique_ptr<ByteStream> stream, const Address& at) {
  std::erase_if(strangers_, [](const auto& one) {
    const auto session = one.lock();
    return !session || session->welcome() || session->closed(); // who is welcome may live on another thread
  });
  // Beyond the cap the oldest one that has not proved itself makes room; proven peers are never dropped for strangers.
  if (io_.sessions >= io_.options.max_connections) {
    if (strangers_.empty()) return;
    strangers_.front().lock()->close({Code::Admission, Phase::Handshake, 0, "too many connections"});
  }
  auto session = std::make_shared<ServingSession>(io_, notification_log_, std::move(stream), at, io_.faults.get());
  strangers_.push_back(session);
  io_.loop.adopt(std::move(session));
}

void Agent::loop() {
  prctl(PR_SET_NAME, "kv-transfer-io");
  for (int64_t due = kNever; !closing_; due = tickAll()) io_.poller.run(due);
}

int64_t Agent::tickAll() {
  const int64_t now = nowNs();
  int64_t due = tickDeadlines(now);
  if (now >= grants_due_) {
    std::vector<GrantReport> ended;
    grants_due_ = io_.grants.expire(now, ended);
    io_.reportGrants(ended);
  }
  for (const auto& [key, link] : links_) due = std::min(due, link->tick(now));
  due = std::min(due, io_.loop.tick(now));
  io_.graveyard.clear();
  return std::min({due, grants_due_, next_deadline_});
}

int64_t Agent::tickDeadlines(int64_t now) {
  if (now < next_deadline_) return next_deadline_;
  std::vector<std::shared_ptr<Transfer>> late;
  next_deadline_ = kNever;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, transfer] : transfers_) {
      if (now >= transfer->deadline_ns) late.push_back(transfer);
      else next_deadline_ = std::min(next_deadline_, transfer->deadline_ns);
    }
  }
  for (const auto& transfer : late) {
    const auto at = link_of_.find(transfer->id);
    if (at != link_of_.end()) at->second->drop(transfer);
    if (transfer->stop({Code::Deadline, static_cast<Phase>(transfer->phase.load()), 0, "the deadline passed"})) settle(transfer);
  }
  return next_deadline_;
}

PeerLink* Agent::link(const std::string& peer, uint64_t epoch, TransportKind kind, const std::vector<std::string>& addresses) {
  const bool wants_unix = kind == TransportKind::Shm || kind == TransportKind::Uds;
  for (const std::string& text : addresses) {
    Address address;
    if (!Address::parse(text, address) || address.is_unix != wants_unix || address.is_ucx != (kind == TransportKind::Ucx)) continue;
    std::unique_ptr<PeerLink>& found = links_[{peer, epoch, kind, text}];
    if (!found) {
      found = std::make_unique<PeerLink>(io_, PeerKey{peer, epoch, kind, text}, address);
      found->on_mapped = [this, peer, epoch](uint32_t pool, const ShmSource& source) {
        const std::lock_guard lock(mutex_);
        std::erase_if(mapped_, [](const auto& entry) { return !*entry.second.owner_lives; });
        mapped_[{peer, epoch, pool}] = source;
      };
    }
    return found.get();
  }
  return nullptr;
}

void Agent::route(const std::shared_ptr<Transfer>& transfer) {
  if (transfer->settled()) return;
  next_deadline_ = std::min(next_deadline_, transfer->deadline_ns);
  const ReadSpec& spec = transfer->spec;
  if (transfer->plan.chunks() == 0) return settle(transfer);
  for (; transfer->transport_at < spec.transports.size(); transfer->transport_at++) {
    const TransportKind kind = spec.transports[transfer->transport_at];
    std::string why;
    if (kind == TransportKind::Ucx && !io_.ucxWorker(why)) {
      fellBack(*transfer, {Code::NotSupported, Phase::Queued, 0, why});
      continue;
    }
    PeerLink* to = link(spec.peer, spec.peer_epoch, kind, spec.addresses);
    if (!to) continue;
    link_of_[transfer->id] = to;
    const auto push = push_orders_.find(transfer->id);
    return push == push_orders_.end() ? to->add(transfer) : to->push(transfer, push->second);
  }
  const Failure why = transfer->fallbacks.empty() ? Failure{Code::NotSupported, Phase::Queued, 0, "the peer has no address for any of the transports asked for"} : transfer->fallbacks.back().why;
  if (transfer->stop(why)) settle(transfer);
}

void Agent::fellBack(Transfer& transfer, const Failure& why) {
  const TransportKind from = transfer.spec.transports[transfer.transport_at];
  transfer.fallbacks.push_back({from, why});
  transfer.timeline.add("fallback", std::string(name(from)) + ": " + why.message);
  io_.metrics.fallbacks[static_cast<size_t>(from)]++;
}

void Agent::reroute(const std::shared_ptr<Transfer>& transfer, const Failure& why) {
  fellBack(*transfer, why);
  transfer->transport_at++;
  transfer->attempts = 0;
  for (uint8_t& chunk : transfer->states)
    if (chunk == Transfer::Asked) chunk = Transfer::Missing;
  transfer->cursor = 0;
  io_.poller.post([this, transfer] { route(transfer); }); // not from inside the link that failed
}

void Agent::settle(const std::shared_ptr<Transfer>& transfer) {
  if (!transfer->settle()) return;
  TransferResult result = transfer->result();
  const bool ok = result.failure.ok();
  io_.metrics.ended(result.transport, result.failure.code, result.bytes_done, result.duration_us);
  io_.metrics.checksum_failures += result.checksum_failures;
  {
    const std::lock_guard lock(mutex_);
    transfers_.erase(transfer->id);
  }
  io_.poller.post([this, transfer, ok] { afterSettled(transfer, ok); });
  if (transfer->spec.on_settled) io_.poller.post([transfer, result] { transfer->spec.on_settled(result); });
  else io_.events.push(std::move(result));
}

void Agent::afterSettled(const std::shared_ptr<Transfer>& transfer, bool ok) {
  PeerLink* used = nullptr;
  if (const auto at = link_of_.find(transfer->id); at != link_of_.end()) {
    used = at->second;
    used->drop(transfer);
    link_of_.erase(at);
  }
  push_orders_.erase(transfer->id);
  const ReadSpec& spec = transfer->spec;
  if (!ok || (!spec.release && spec.notification.empty())) return;
  for (const TransportKind kind : spec.transports) {
    if (used) break;
    used = link(spec.peer, spec.peer_epoch, kind, spec.addresses);
  }
  if (used) used->notify(spec.notification, spec.release ? spec.grant.id : 0);
}

Failure Agent::acceptPush(PushOrder&& order) {
  std::vector<Range> ranges;
  for (const Piece& piece : order.pieces) ranges.push_back({piece.local, piece.length});
  ReadSpec spec;
  const Failure failure = io_.grants.checkWrite(order.target_grant, ranges, spec.local);
  if (!failure.ok()) return failure;
  spec.peer = order.writer;
  spec.peer_epoch = order.writer_epoch;
  spec.addresses = order.addresses;
  spec.grant = order.source;
  spec.pieces = std::move(order.pieces);
  spec.deadline_ms = order.deadline_ms;
  spec.verify = order.verify;
  spec.on_settled = [this, answer = order.answer, writer = order.writer, notification = order.notification](const TransferResult& result) {
    if (result.failure.ok() && !notification.empty()) {
      io_.metrics.notifications_received++;
      io_.events.push(Notification{writer, notification});
    }
    answer(result);
  };
  try {
    read(std::move(spec), nullptr);
  } catch (const AgentError& error) {
    return error.failure;
  }
  return {};
}

} // namespace dynamo_labs::transfer
