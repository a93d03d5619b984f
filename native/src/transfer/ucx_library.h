#pragma once
#include <string>

#include "ucx_abi.h"

namespace dynamo_labs::transfer {

/** libucp as found on this machine: loaded when it is first asked for, never unloaded (it keeps threads' exit handlers). Any thread. */
struct UcxLibrary {
  /** Null where there is none; then `missing` says why. */
  const ucx::Functions* functions = nullptr;
  std::string version, missing;
  /** `DYNAMO_LABS_LIBUCP` names another file than libucp.so.0. */
  static const UcxLibrary& get();
};

} // namespace dynamo_labs::transfer
