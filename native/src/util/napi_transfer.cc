// The transfer engine's door to JavaScript. The engine runs on threads of its own; one coalesced call says that there are events to drain.
#include <napi.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "../transfer/agent.h"
#include "napi_arguments.h"
#include "napi_transfer_values.h"
#include "shared_pages.h"

namespace dynamo_labs {

namespace {

using namespace transfer;

/** JS class `TransferAgent`; see lib/nativeTransfer.ts. */
class TransferAgent : public Napi::ObjectWrap<TransferAgent> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "TransferAgent",
                       {InstanceMethod("metadata", &TransferAgent::metadata), InstanceMethod("createPool", &TransferAgent::createPool),
                        InstanceMethod("dropPool", &TransferAgent::dropPool), InstanceMethod("withdraw", &TransferAgent::withdraw),
                        InstanceMethod("grant", &TransferAgent::grant), InstanceMethod("renew", &TransferAgent::renew),
                        InstanceMethod("revoke", &TransferAgent::revoke), InstanceMethod("read", &TransferAgent::read),
                        InstanceMethod("write", &TransferAgent::write), InstanceMethod("cancel", &TransferAgent::cancel),
                        InstanceMethod("progress", &TransferAgent::progress), InstanceMethod("notify", &TransferAgent::notify),
                        InstanceMethod("drain", &TransferAgent::drain), InstanceMethod("metrics", &TransferAgent::metrics),
                        InstanceMethod("faultReports", &TransferAgent::faultReports), InstanceMethod("close", &TransferAgent::close),
                        InstanceAccessor<&TransferAgent::epoch>("epoch")});
  }

  explicit TransferAgent(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TransferAgent>(info) {
    const Napi::Env env = info.Env();
    if (!info[1].IsFunction()) throw Napi::TypeError::New(env, "Expected `wake` to be a function");
    guarded(env, [&] {
      const AgentOptions options = readAgentOptions(Arguments(info[0], "options"));
      wake_ = Napi::ThreadSafeFunction::New(env, info[1].As<Napi::Function>(), "dynamo_labs transfer", 0, 1);
      wake_.Unref(env);
      try {
        agent_ = std::make_unique<Agent>(options, [wake = wake_] { wake.NonBlockingCall(); });
      } catch (...) {
        wake_.Release();
        throw;
      }
    });
    // Runs before the thread-safe function's own hook: no engine thread is left when that one goes.
    napi_add_env_cleanup_hook(env, endHook, this);
  }
  ~TransferAgent() override {
    if (agent_) napi_remove_env_cleanup_hook(Env(), endHook, this);
    end();
  }

private:
  using Info = Napi::CallbackInfo;
  static void endHook(void* self) { static_cast<TransferAgent*>(self)->end(); }

  Napi::Value epoch(const Info& info) { return Napi::BigInt::New(info.Env(), open(info).identity().epoch); }
  Napi::Value metadata(const Info& info) {
    const std::vector<uint8_t> bytes = encode(open(info).metadata());
    return Napi::Buffer<uint8_t>::Copy(info.Env(), bytes.data(), bytes.size());
  }

  Napi::Value createPool(const Info& info) {
    const Napi::Env env = info.Env();
    const Arguments from(info[0], "options");
    if (from.has("memory")) return registerMemory(info, from);
    const std::shared_ptr<Pool> pool =
        guarded(env, [&] { return open(info).createPool(from.offset("bytes"), from.offset("blockBytes"), from.boolean("prefault")); });
    SharedPages::announce(pool->data(), pool); // a model that computes in it keeps it mapped
    Napi::Object out = Napi::Object::New(env);
    out.Set("id", pool->id());
    // The buffer keeps the memory, whatever happens to the agent.
    out.Set("buffer", Napi::ArrayBuffer::New(env, pool->data(), pool->bytes(), [](Napi::Env, void*, std::shared_ptr<Pool>* kept) { delete kept; }, new std::shared_ptr<Pool>(pool)));
    return out;
  }
  Napi::Value registerMemory(const Info& info, const Arguments& from) {
    const Napi::Env env = info.Env();
    const Napi::Value memory = from.get("memory");
    uint64_t bytes = 0;
    uint8_t* data = bytesOf(memory, bytes);
    if (bytes != from.offset("bytes")) throw toError(env, {Code::InvalidParam, Phase::Queued, 0, "the memory is not as long as its blocks"});
    auto held = std::make_shared<Napi::Reference<Napi::Value>>(Napi::Reference<Napi::Value>::New(memory, 1));
    // The engine may let go on a thread of its own; the reference is deleted on this one. An environment that ends frees its buffers before it stops that
    // thread, so pages that can be kept mapped are.
    const std::shared_ptr<const void> keep(held.get(), [held, returned = returned_, wake = wake_, pages = SharedPages::owner(data)](const void*) mutable {
      const std::lock_guard lock(returned->mutex);
      returned->references.push_back(std::move(held));
      if (!returned->ended) wake.NonBlockingCall();
    });
    const std::shared_ptr<Pool> pool = guarded(env, [&] { return open(info).registerMemory(data, bytes, from.offset("blockBytes"), keep); });
    Napi::Object out = Napi::Object::New(env);
    out.Set("id", pool->id());
    out.Set("buffer", memory);
    return out;
  }
  void dropPool(const Info& info) { open(info).dropPool(info[0].ToNumber().Uint32Value()); }
  void withdraw(const Info& info) {
    findPool(info, info[0].ToNumber().Uint32Value())->withdraw(static_cast<uint64_t>(info[1].ToNumber().Int64Value()), static_cast<uint64_t>(info[2].ToNumber().Int64Value()));
  }

  Napi::Value grant(const Info& info) {
    const Arguments from(info[0], "options");
    return guarded(info.Env(), [&] {
      const GrantSpec spec{readRanges(from), static_cast<int64_t>(from.offset("leaseMs")), static_cast<uint32_t>(from.integer("readers")), from.boolean("writable"), from.string("requestId")};
      GrantRef out;
      const Failure failure = open(info).grant(findPool(info, static_cast<uint32_t>(from.offset("pool"))), spec, out);
      if (!failure.ok()) throw failure;
      return toValue(info.Env(), out);
    });
  }
  Napi::Value renew(const Info& info) { return Napi::Boolean::New(info.Env(), open(info).renew(static_cast<uint64_t>(info[0].ToNumber().Int64Value()))); }
  Napi::Value revoke(const Info& info) { return Napi::Boolean::New(info.Env(), open(info).revoke(static_cast<uint64_t>(info[0].ToNumber().Int64Value()))); }

  Napi::Value read(const Info& info) {
    const Arguments from(info[0], "options");
    return guarded(info.Env(), [&] {
      ReadSpec spec;
      spec.peer = from.string("peer");
      spec.peer_epoch = from.bigint("epoch");
      spec.addresses = readStrings(from.array("addresses"));
      spec.grant = readGrantRef(Arguments(from.get("grant"), "grant"));
      spec.local = findPool(info, static_cast<uint32_t>(from.offset("localPool")));
      spec.pieces = readPieces(from);
      spec.transports = readTransports(from.array("transports"));
      spec.deadline_ms = static_cast<int64_t>(from.offset("deadlineMs"));
      spec.verify = from.boolean("verify");
      spec.release = from.boolean("release");
      spec.notification = from.string("notification");
      spec.block_bytes = from.offset("blockBytes");
      TransferResult immediate;
      const uint64_t id = open(info).read(std::move(spec), &immediate);
      if (immediate.id != 0) return toValue(info.Env(), immediate);
      hold(info.Env());
      return Napi::Value(Napi::Number::New(info.Env(), static_cast<double>(id)));
    });
  }

  Napi::Value write(const Info& info) {
    const Arguments from(info[0], "options");
    return guarded(info.Env(), [&] {
      WriteSpec spec;
      spec.peer = from.string("peer");
      spec.peer_epoch = from.bigint("epoch");
      spec.addresses = readStrings(from.array("addresses"));
      spec.target = readGrantRef(Arguments(from.get("grant"), "grant"));
      spec.local = findPool(info, static_cast<uint32_t>(from.offset("localPool")));
      spec.pieces = readPieces(from);
      spec.transports = readTransports(from.array("transports"));
      spec.deadline_ms = static_cast<int64_t>(from.offset("deadlineMs"));
      spec.verify = from.boolean("verify");
      spec.notification = from.string("notification");
      const uint64_t id = open(info).write(spec);
      hold(info.Env());
      return Napi::Value(Napi::Number::New(info.Env(), static_cast<double>(id)));
    });
  }

  void cancel(const Info& info) { open(info).cancel(static_cast<uint64_t>(info[0].ToNumber().Int64Value())); }

  Napi::Value progress(const Info& info) {
    Progress progress;
    if (!open(info).progress(static_cast<uint64_t>(info[0].ToNumber().Int64Value()), progress)) return info.Env().Undefined();
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("bytesDone", static_cast<double>(progress.bytes_done));
    out.Set("bytes", static_cast<double>(progress.bytes));
    out.Set("phase", name(progress.phase));
    out.Set("transport", name(progress.transport));
    return out;
  }

  void notify(const Info& info) {
    const Arguments from(info[0], "options");
    guarded(info.Env(), [&] { open(info).notify(from.string("peer"), from.bigint("epoch"), readStrings(from.array("addresses")), from.string("payload")); });
  }

  Napi::Value drain(const Info& info) {
    const Napi::Env env = info.Env();
    Napi::Array out = Napi::Array::New(env);
    takeBack();
    if (!agent_) return out;
    for (const Event& event : agent_->drain()) {
      if (std::holds_alternative<TransferResult>(event) && held_ > 0 && --held_ == 0 && !ended_) wake_.Unref(env);
      out.Set(out.Length(), toValue(env, event));
    }
    return out;
  }

  Napi::Value metrics(const Info& info) { return toValue(info.Env(), open(info).metrics(), open(info).liveGrants()); }

  Napi::Value faultReports(const Info& info) {
    Napi::Array out = Napi::Array::New(info.Env());
    for (const FaultReport& report : open(info).faultReports()) {
      Napi::Object entry = Napi::Object::New(info.Env());
      entry.Set("kind", name(report.kind));
      entry.Set("side", report.side == FaultSide::Read ? "read" : "serve");
      entry.Set("atByte", static_cast<double>(report.at_byte));
      out.Set(out.Length(), entry);
    }
    return out;
  }

  void close(const Info& info) {
    if (ended_) return;
    if (held_ > 0) wake_.Unref(info.Env());
    held_ = 0;
    end();
  }

  /** The process stays alive while something is under way. */
  void hold(Napi::Env env) {
    if (held_++ == 0) wake_.Ref(env);
  }
  void end() {
    if (ended_ || !agent_) return;
    ended_ = true;
    agent_->close();
    takeBack();
    {
      const std::lock_guard lock(returned_->mutex);
      returned_->ended = true;
    }
    wake_.Release();
  }
  Agent& open(const Info& info) const {
    if (agent_ && !ended_) return *agent_;
    throw toError(info.Env(), {Code::Closed, Phase::Queued, 0, "the agent was closed"});
  }
  std::shared_ptr<Pool> findPool(const Info& info, uint32_t id) const {
    std::shared_ptr<Pool> pool = open(info).pool(id);
    if (!pool) throw toError(info.Env(), {Code::NotFound, Phase::Queued, 0, "no such pool of this agent"});
    return pool;
  }

  /** References to registered memory that the engine is done with. */
  struct Returned {
    std::mutex mutex;
    bool ended = false;
    std::vector<std::shared_ptr<Napi::Reference<Napi::Value>>> references;
  };
  void takeBack() {
    std::vector<std::shared_ptr<Napi::Reference<Napi::Value>>> references;
    const std::lock_guard lock(returned_->mutex);
    references.swap(returned_->references);
  }

  std::shared_ptr<Returned> returned_ = std::make_shared<Returned>();
  Napi::ThreadSafeFunction wake_;
  std::unique_ptr<Agent> agent_;
  uint32_t held_ = 0;
  bool ended_ = false;
};

} // namespace

void registerTransfer(Napi::Env env, Napi::Object exports) {
  exports.Set("TransferAgent", TransferAgent::define(env));
  registerTransferCeilings(env, exports);
}

} // namespace dynamo_labs
