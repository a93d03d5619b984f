// The router index's door to JavaScript: hashes travel as BigUint64Array and Uint32Array, in place and without a copy. All calls run on the JS thread.
#include <napi.h>

#include <optional>
#include <string>

#include "../index/active_blocks.h"
#include "../index/block_hash.h"
#include "../index/prefix_index.h"

namespace dynamo_labs {

namespace {

using namespace index;

[[noreturn]] void expected(Napi::Env env, const char* name, const char* what) {
  throw Napi::TypeError::New(env, std::string("Expected `") + name + "` to be " + what);
}

/** A typed array's memory, valid for the length of the call. */
template <class Element> struct Span {
  Element* data;
  size_t count;
};

template <class Element> Span<Element> span(const Napi::Value& value, napi_typedarray_type type, const char* name, const char* what) {
  napi_typedarray_type found{};
  size_t count = 0;
  void* data = nullptr;
  const napi_env env = value.Env();
  if (!value.IsTypedArray() || napi_get_typedarray_info(env, value, &found, &count, &data, nullptr, nullptr) != napi_ok || found != type) {
    expected(value.Env(), name, what);
  }
  return {static_cast<Element*>(data), count};
}

Span<uint64_t> hashes(const Napi::Value& value, const char* name) { return span<uint64_t>(value, napi_biguint64_array, name, "a BigUint64Array"); }
Span<uint32_t> counts(const Napi::Value& value, const char* name) { return span<uint32_t>(value, napi_uint32_array, name, "a Uint32Array"); }

uint32_t slotOf(const Napi::Value& value) {
  const double slot = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(slot >= 0 && slot < SlotSets::kMaxSlots) || slot != static_cast<uint32_t>(slot)) expected(value.Env(), "slot", "an integer from 0 to 1048575");
  return static_cast<uint32_t>(slot);
}

std::optional<uint64_t> hash(const Napi::Value& value, const char* name) {
  if (value.IsUndefined()) return std::nullopt;
  if (!value.IsBigInt()) expected(value.Env(), name, "a bigint or undefined");
  bool lossless = false;
  const uint64_t number = value.As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) expected(value.Env(), name, "an unsigned 64-bit bigint");
  return number;
}

class PrefixIndexObject : public Napi::ObjectWrap<PrefixIndexObject> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "PrefixIndex",
                       {InstanceMethod<&PrefixIndexObject::store>("store"), InstanceMethod<&PrefixIndexObject::remove>("remove"),
                        InstanceMethod<&PrefixIndexObject::clear>("clear"), InstanceMethod<&PrefixIndexObject::findMatches>("findMatches"),
                        InstanceMethod<&PrefixIndexObject::matchFrom>("matchFrom"), InstanceMethod<&PrefixIndexObject::sequenceOf>("sequenceOf"),
                        InstanceMethod<&PrefixIndexObject::blocksOf>("blocksOf"), InstanceMethod<&PrefixIndexObject::stats>("stats")});
  }
  explicit PrefixIndexObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

private:
  Napi::Value store(const Napi::CallbackInfo& info) {
    const auto engine = hashes(info[2], "engineHashes");
    const auto local = hashes(info[3], "localHashes");
    if (engine.count != local.count) expected(info.Env(), "localHashes", "as long as `engineHashes`");
    const StoreStatus status = index_.store(slotOf(info[0]), hash(info[1], "parent"), engine.data, local.data, engine.count, hash(info[4], "parentSequence"));
    return Napi::Number::New(info.Env(), static_cast<int>(status));
  }
  Napi::Value remove(const Napi::CallbackInfo& info) {
    const auto engine = hashes(info[1], "engineHashes");
    return Napi::Number::New(info.Env(), static_cast<double>(index_.remove(slotOf(info[0]), engine.data, engine.count)));
  }
  Napi::Value clear(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(index_.clear(slotOf(info[0])))); }
  void findMatches(const Napi::CallbackInfo& info) {
    const auto sequence = hashes(info[0], "sequence");
    const auto overlaps = counts(info[1], "overlaps");
    index_.match(sequence.data, sequence.count, overlaps.data, overlaps.count);
  }
  Napi::Value matchFrom(const Napi::CallbackInfo& info) {
    const auto sequence = hashes(info[1], "sequence");
    if (!info[2].IsNumber()) expected(info.Env(), "start", "a number");
    const size_t start = info[2].As<Napi::Number>().Uint32Value();
    return Napi::Number::New(info.Env(), static_cast<double>(index_.matchFrom(slotOf(info[0]), sequence.data, sequence.count, start)));
  }
  Napi::Value sequenceOf(const Napi::CallbackInfo& info) {
    const auto engine = hash(info[1], "engineHash");
    const auto sequence = engine ? index_.sequenceOf(slotOf(info[0]), *engine) : std::nullopt;
    return sequence ? static_cast<Napi::Value>(Napi::BigInt::New(info.Env(), *sequence)) : info.Env().Undefined();
  }
  Napi::Value blocksOf(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(index_.blocksOf(slotOf(info[0])))); }
  Napi::Value stats(const Napi::CallbackInfo& info) {
    Napi::Object stats = Napi::Object::New(info.Env());
    stats.Set("blocks", static_cast<double>(index_.blocks()));
    stats.Set("holdings", static_cast<double>(index_.holdings()));
    stats.Set("bytes", static_cast<double>(index_.bytes()));
    return stats;
  }

  PrefixIndex index_;
};

class ActiveBlocksObject : public Napi::ObjectWrap<ActiveBlocksObject> {
public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "ActiveBlocks",
                       {InstanceMethod<&ActiveBlocksObject::acquire>("acquire"), InstanceMethod<&ActiveBlocksObject::release>("release"),
                        InstanceMethod<&ActiveBlocksObject::count>("count"), InstanceMethod<&ActiveBlocksObject::sharedPrefix>("sharedPrefix")});
  }
  explicit ActiveBlocksObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

private:
  Napi::Value acquire(const Napi::CallbackInfo& info) {
    const auto sequence = hashes(info[1], "sequence");
    return Napi::Number::New(info.Env(), blocks_.acquire(slotOf(info[0]), sequence.data, sequence.count));
  }
  void release(const Napi::CallbackInfo& info) {
    if (!info[1].IsNumber()) expected(info.Env(), "handle", "a number");
    blocks_.release(slotOf(info[0]), info[1].As<Napi::Number>().Uint32Value());
  }
  Napi::Value count(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(blocks_.count(slotOf(info[0])))); }
  void sharedPrefix(const Napi::CallbackInfo& info) {
    const auto sequence = hashes(info[0], "sequence");
    const auto shared = counts(info[1], "shared");
    blocks_.sharedPrefix(sequence.data, sequence.count, shared.data, shared.count);
  }

  ActiveBlocks blocks_;
};

/** hashBlocks(tokens, blockTokens, seed, local | undefined, sequence) */
void hashBlocksOf(const Napi::CallbackInfo& info) {
  const auto tokens = counts(info[0], "tokens");
  const double block_tokens = info[1].IsNumber() ? info[1].As<Napi::Number>().DoubleValue() : 0;
  if (!(block_tokens >= 1 && block_tokens <= 1 << 20) || block_tokens != static_cast<uint32_t>(block_tokens)) {
    expected(info.Env(), "blockTokens", "an integer from 1 to 1048576");
  }
  const auto seed = hash(info[2], "seed");
  if (!seed) expected(info.Env(), "seed", "a bigint");
  const size_t blocks = tokens.count / static_cast<size_t>(block_tokens);
  const auto local = info[3].IsUndefined() ? Span<uint64_t>{nullptr, blocks} : hashes(info[3], "local");
  const auto sequence = hashes(info[4], "sequence");
  if (local.count != blocks || sequence.count != blocks) expected(info.Env(), "local and sequence", "of one element per full block");
  hashBlocks(tokens.data, tokens.count, static_cast<size_t>(block_tokens), *seed, local.data, sequence.data);
}

} // namespace

void registerIndex(Napi::Env env, Napi::Object exports) {
  exports.Set("PrefixIndex", PrefixIndexObject::define(env));
  exports.Set("ActiveBlocks", ActiveBlocksObject::define(env));
  exports.Set("hashBlocks", Napi::Function::New<&hashBlocksOf>(env, "hashBlocks"));
}

} // namespace dynamo_labs
