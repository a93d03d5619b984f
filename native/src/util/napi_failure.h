#pragma once
#include <napi.h>

#include <new>
#include <string>
#include <system_error>

#include "../model/model_error.h"

namespace dynamo_labs {

/** A C++ exception carried to the JS thread: becomes an Error with `code` and, where there is one, `field`. */
struct Failure {
  std::string code, field, message;
  bool set() const { return !code.empty(); }

  /** Describes the exception being handled. */
  static Failure current() {
    try {
      throw;
    } catch (const model::ModelError& error) {
      return {error.code(), error.field(), error.what()};
    } catch (const std::system_error& error) {
      return {error.code() == std::errc::no_such_file_or_directory ? "ENOENT" : "IO_ERROR", "", error.what()};
    } catch (const std::bad_alloc&) {
      return {"OUT_OF_MEMORY", "", "not enough memory"};
    } catch (const std::exception& error) {
      return {"INTERNAL", "", error.what()};
    }
  }

  Napi::Error toError(Napi::Env env) const {
    const Napi::Error error = Napi::Error::New(env, message);
    error.Value().Set("code", code);
    if (!field.empty()) error.Value().Set("field", field);
    return error;
  }
};

} // namespace dynamo_labs
