// The model engine's door to JavaScript: values become plain structs on the JS thread, work runs on the engine's own thread, promises settle back here.
#include <napi.h>

#include <time.h>

#include <atomic>
#include <cstring>
#include <memory>

#include "../model/engine.h"
#include "huge_pages.h"
#include "napi_arguments.h"
#include "napi_failure.h"
#include "napi_model_values.h"
#include "serial_worker.h"
#include "shared_pages.h"

namespace dynamo_labs {

namespace {

using namespace model;

/**
 * What the JS object and jobs in flight share; made and destroyed on the JS thread. When the environment ends first (a worker thread that is terminated),
 * a clean-up hook stops the engine's thread before the promises' channel goes. The pool's memory is kept by `pages`, since buffers go before hooks run.
 */
struct Host {
  const Napi::Env env;
  std::atomic<bool> cancelled{false};
  std::unique_ptr<Engine> engine;
  std::shared_ptr<void> pages;
  Napi::ThreadSafeFunction settle;
  std::unique_ptr<SerialWorker> worker = std::make_unique<SerialWorker>();

  explicit Host(Napi::Env env) : env(env), settle(Napi::ThreadSafeFunction::New(env, Napi::Function(), "dynamo_labs model", 0, 1)) {
    settle.Unref(env);
    napi_add_env_cleanup_hook(env, stop, this);
  }
  ~Host() {
    napi_remove_env_cleanup_hook(env, stop, this);
    stop(this);
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /** The process stays alive while jobs are in flight: references of a thread-safe function are not counted. */
  void hold() {
    if (jobs_++ == 0) settle.Ref(env);
  }
  void letGo() {
    if (--jobs_ == 0) settle.Unref(env);
  }

private:
  int jobs_ = 0;

  /** Releases the channel too: this hook runs before the channel's own, while what is left of a Host may be finalised long after it. */
  static void stop(void* data) {
    auto* host = static_cast<Host*>(data);
    host->cancelled = true;
    if (!host->worker) return;
    host->worker.reset();
    host->settle.Release();
  }
};

/** Runs `work` on the engine's thread and settles a promise with `result(env)` on the JS thread. The process stays alive meanwhile. */
template <class Work, class Result> Napi::Value runAsync(Napi::Env env, const std::shared_ptr<Host>& host, Work work, Result result) {
  struct Job {
    std::shared_ptr<Host> host; // its last owner must be the JS thread, since it joins the worker
    Napi::Promise::Deferred deferred;
    Result result;
    Failure failure;
  };
  auto* job = new Job{host, Napi::Promise::Deferred::New(env), std::move(result), {}};
  const Napi::Value promise = job->deferred.Promise();
  host->hold();
  host->worker->post([job, work = std::move(work)]() mutable {
    try {
      work();
    } catch (...) {
      job->failure = Failure::current();
    }
    // When the environment is shutting down the call is refused; the job is left to the process's end.
    job->host->settle.NonBlockingCall(job, [](Napi::Env env, Napi::Function, Job* job) {
      const std::unique_ptr<Job> owned(job);
      job->host->letGo();
      const Napi::HandleScope scope(env);
      if (job->failure.set()) job->deferred.Reject(job->failure.toError(env).Value());
      else job->deferred.Resolve(job->result(env));
    });
  });
  return promise;
}

/** JS class `NativeModel`; see lib/native.ts. */
class NativeModel : public Napi::ObjectWrap<NativeModel> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeModel",
                       {InstanceMethod("attachPool", &NativeModel::attachPool), InstanceMethod("copyBlocks", &NativeModel::copyBlocks), InstanceMethod("step", &NativeModel::step),
                        InstanceMethod("dispose", &NativeModel::dispose), InstanceAccessor<&NativeModel::info>("info")});
  }
  explicit NativeModel(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeModel>(info) {
    if (info.Length() != 1 || !info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "NativeModel is made by loadModel");
    host_ = *info[0].As<Napi::External<std::shared_ptr<Host>>>().Data();
  }

private:
  Napi::Value info(const Napi::CallbackInfo& info) {
    const Engine& engine = open(info.Env());
    Napi::Object out = Napi::Object::New(info.Env());
    out.Set("blockBytes", static_cast<double>(engine.layout().blockBytes()));
    out.Set("layerBytes", static_cast<double>(engine.layout().layerElements() * 2));
    out.Set("keyBytes", static_cast<double>(engine.layout().keyElements() * 2));
    out.Set("blockTokens", engine.layout().block_tokens);
    out.Set("weightBytes", static_cast<double>(engine.weightBytes()));
    out.Set("weightsShared", engine.weightsShared());
    if (!engine.weightsProblem().empty()) out.Set("weightsProblem", engine.weightsProblem());
    out.Set("kernels", engine.kernels().name);
    out.Set("matmul", engine.arithmetic() == Arithmetic::Integer ? "int8" : "float");
    return out;
  }

  Napi::Value attachPool(const Napi::CallbackInfo& info) {
    const Engine& engine = open(info.Env());
    refuseWhileBusy(info.Env());
    if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(info.Env(), "Expected `pool` to be an ArrayBuffer");
    Napi::ArrayBuffer buffer = info[0].As<Napi::ArrayBuffer>();
    if (reinterpret_cast<uintptr_t>(buffer.Data()) % 64 != 0) throw Napi::RangeError::New(info.Env(), "Expected `pool` to begin at a 64-byte boundary");
    const size_t blocks = buffer.ByteLength() / engine.layout().blockBytes();
    if (blocks == 0 || blocks > 0x7fffffff) throw Napi::RangeError::New(info.Env(), "Expected `pool` to hold at least one block");
    pool_ = {static_cast<uint16_t*>(buffer.Data()), static_cast<int>(blocks)};
    pool_reference_ = Napi::Persistent(buffer);
    preferHugePages(buffer.Data(), buffer.ByteLength());
    host_->pages = SharedPages::owner(buffer.Data());
    return Napi::Number::New(info.Env(), static_cast<double>(blocks));
  }

  Napi::Value copyBlocks(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const size_t block_bytes = open(env).layout().blockBytes();
    if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(env, "Expected `other` to be an ArrayBuffer");
    Napi::ArrayBuffer other = info[0].As<Napi::ArrayBuffer>();
    const size_t other_blocks = other.ByteLength() / block_bytes;
    struct Copy {
      uint8_t* to;
      const uint8_t* from;
    };
    auto copies = std::make_shared<std::vector<Copy>>();
    auto* const pool = reinterpret_cast<uint8_t*>(pool_.base);
    auto* const outside = static_cast<uint8_t*>(other.Data());
    for (size_t list = 1; list <= 2; list++) {
      if (!info[list].IsTypedArray() || info[list].As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) throw Napi::TypeError::New(env, "Expected pairs of blocks as an Int32Array");
      const Napi::Int32Array pairs = info[list].As<Napi::Int32Array>();
      for (size_t i = 0; i + 1 < pairs.ElementLength(); i += 2) {
        const int32_t mine = pairs[i], theirs = pairs[i + 1];
        if (mine < 0 || mine >= pool_.blocks || theirs < 0 || static_cast<size_t>(theirs) >= other_blocks) throw Napi::RangeError::New(env, "a block to be copied does not exist");
        uint8_t* const here = pool + mine * block_bytes;
        uint8_t* const there = outside + theirs * block_bytes;
        copies->push_back(list == 1 ? Copy{there, here} : Copy{here, there});
      }
    }
    // What is copied stays mapped: the buffer while the environment lives, its pages until the copy has ended.
    const auto kept = std::make_shared<Napi::ObjectReference>(Napi::Persistent(other.As<Napi::Object>()));
    const auto self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Value()));
    return runAsync(
        env, host_,
        [copies, block_bytes, pages = SharedPages::owner(other.Data())] {
          for (const Copy& copy : *copies) std::memcpy(copy.to, copy.from, block_bytes);
        },
        [kept, self](Napi::Env env) { return env.Undefined(); });
  }

  Napi::Value step(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Engine& engine = open(env);
    refuseWhileBusy(env);
    auto slices = std::make_shared<std::vector<StepSlice>>(readSlices(info[0]));
    try {
      engine.check(*slices, pool_);
    } catch (const ModelError&) {
      throw Failure::current().toError(env);
    }
    auto results = std::make_shared<std::vector<StepResult>>();
    auto in_flight = std::make_shared<bool>(true);
    in_flight_ = in_flight;
    const std::shared_ptr<Napi::ObjectReference> self = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Value()));
    return runAsync(
        env, host_,
        [&engine, slices, results, pool = pool_] { *results = engine.step(*slices, pool); },
        [results, self, in_flight = std::move(in_flight)](Napi::Env env) -> Napi::Value {
          Napi::Array out = Napi::Array::New(env, results->size());
          for (uint32_t i = 0; i < results->size(); i++) out.Set(i, toObject(env, (*results)[i]));
          return out;
        });
  }

  Napi::Value dispose(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!host_) {
      const auto deferred = Napi::Promise::Deferred::New(env);
      deferred.Resolve(env.Undefined());
      return deferred.Promise();
    }
    host_->cancelled = true;
    const Napi::Value promise = runAsync(env, host_, [] {}, [](Napi::Env env) { return env.Undefined(); });
    host_.reset(); // the last job in flight frees it
    pool_ = {};
    return promise;
  }

  Engine& open(Napi::Env env) const {
    if (host_) return *host_->engine;
    throw Failure{"DISPOSED", "engine", "the model was disposed"}.toError(env);
  }
  void refuseWhileBusy(Napi::Env env) const {
    if (!in_flight_.expired()) throw Failure{"BUSY", "engine", "a step is in flight"}.toError(env);
  }

  std::shared_ptr<Host> host_;
  /** Held by a step until its promise has settled. */
  std::weak_ptr<bool> in_flight_;
  KvPool pool_;
  Napi::Reference<Napi::ArrayBuffer> pool_reference_;
};

Napi::Value loadModel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* constructor = static_cast<Napi::FunctionReference*>(info.Data());
  std::shared_ptr<LoadRequest> request;
  try {
    request = std::make_shared<LoadRequest>(readLoadRequest(Arguments(info[0], "options")));
  } catch (const ModelError&) {
    throw Failure::current().toError(env);
  }
  std::shared_ptr<Host> host = std::make_shared<Host>(env);
  Host* raw = host.get(); // the job itself holds the owner
  return runAsync(
      env, host, [raw, request] { raw->engine = std::make_unique<Engine>(*request, raw->cancelled); },
      [host, constructor](Napi::Env env) mutable -> Napi::Value {
        return constructor->New({Napi::External<std::shared_ptr<Host>>::New(env, &host)});
      });
}

/** Zeroed pages outside V8's heap, for a KV pool. */
Napi::Value allocatePages(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const double asked = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
  if (!(asked >= 1 && asked <= 1e13)) throw Napi::RangeError::New(env, "Expected `bytes` to be a positive number");
  const size_t bytes = static_cast<size_t>(asked);
  const std::shared_ptr<SharedPages> pages = SharedPages::allocate(bytes);
  if (!pages) throw Failure{"OUT_OF_MEMORY", "bytes", "cannot map " + std::to_string(bytes) + " bytes"}.toError(env);
  return Napi::ArrayBuffer::New(env, pages->data(), bytes, [pages](Napi::Env, void*) { /* the closure ends here, and its share with it */ });
}

/** Exact to the call, unlike getrusage and /proc, which the kernel brings up to date at ticks and switches only. */
Napi::Value threadCpuTime(const Napi::CallbackInfo& info) {
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) throw Napi::Error::New(info.Env(), "this system does not count a thread's CPU time");
  return Napi::Number::New(info.Env(), static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6);
}

} // namespace

void registerModel(Napi::Env env, Napi::Object exports) {
  auto* constructor = new Napi::FunctionReference(Napi::Persistent(NativeModel::define(env)));
  env.AddCleanupHook([](Napi::FunctionReference* reference) { delete reference; }, constructor);
  exports.Set("loadModel", Napi::Function::New(env, loadModel, "loadModel", constructor));
  exports.Set("allocatePages", Napi::Function::New(env, allocatePages, "allocatePages"));
  exports.Set("threadCpuTime", Napi::Function::New(env, threadCpuTime, "threadCpuTime"));
}

} // namespace dynamo_labs
