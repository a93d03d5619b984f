// What the transfer engine is compared with, and what it finds installed.
#include <napi.h>

#include <algorithm>

#include "../transfer/ceiling.h"
#include "../transfer/ucx_library.h"
#include "napi_arguments.h"
#include "napi_transfer_values.h"

namespace dynamo_labs {

using namespace transfer;

namespace {

Napi::Value ceilingCopy(const Napi::CallbackInfo& info) {
  uint64_t to_bytes = 0, from_bytes = 0;
  uint8_t* to = bytesOf(info[0], to_bytes);
  const uint8_t* from = bytesOf(info[1], from_bytes);
  return guarded(info.Env(), [&] {
    const std::vector<Piece> pieces = readPieces(Arguments(info[2], "options"));
    for (const Piece& piece : pieces)
      if (piece.local + piece.length > to_bytes || piece.remote + piece.length > from_bytes) throw Failure{Code::InvalidParam, Phase::Queued, 0, "a piece lies outside"};
    return Napi::Number::New(info.Env(), copyPieces(to, from, pieces));
  });
}

Napi::Value ceilingSocket(const Napi::CallbackInfo& info) {
  uint64_t to_bytes = 0, from_bytes = 0;
  uint8_t* to = bytesOf(info[0], to_bytes);
  const uint8_t* from = bytesOf(info[1], from_bytes);
  return Napi::Number::New(info.Env(), socketCopy(to, from, std::min(to_bytes, from_bytes), info[2].ToBoolean()));
}

Napi::Value ucxLibrary(const Napi::CallbackInfo& info) {
  const UcxLibrary& library = UcxLibrary::get();
  Napi::Object out = Napi::Object::New(info.Env());
  if (library.functions) out.Set("version", library.version);
  else out.Set("missing", library.missing);
  return out;
}

} // namespace

void registerTransferCeilings(Napi::Env env, Napi::Object exports) {
  exports.Set("ceilingCopy", Napi::Function::New(env, ceilingCopy, "ceilingCopy"));
  exports.Set("ceilingSocket", Napi::Function::New(env, ceilingSocket, "ceilingSocket"));
  exports.Set("ucxLibrary", Napi::Function::New(env, ucxLibrary, "ucxLibrary"));
}

} // namespace dynamo_labs
