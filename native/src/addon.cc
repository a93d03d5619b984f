#include <napi.h>

namespace dynamo_labs {

// Each subsystem registers itself from its own util/napi_<subsystem>.cc; CMakeLists.txt defines the macro where that file exists.
void registerModel(Napi::Env env, Napi::Object exports);
#if defined(DYNAMO_LABS_HAS_INDEX)
void registerIndex(Napi::Env env, Napi::Object exports);
#endif
#if defined(DYNAMO_LABS_HAS_TRANSFER)
void registerTransfer(Napi::Env env, Napi::Object exports);
#endif

namespace {

Napi::Object registerAll(Napi::Env env, Napi::Object exports) {
  registerModel(env, exports);
#if defined(DYNAMO_LABS_HAS_INDEX)
  registerIndex(env, exports);
#endif
#if defined(DYNAMO_LABS_HAS_TRANSFER)
  registerTransfer(env, exports);
#endif
  return exports;
}

} // namespace

NODE_API_MODULE(dynamo_labs, registerAll)

} // namespace dynamo_labs
