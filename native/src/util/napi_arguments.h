#pragma once
#include <napi.h>

#include <cmath>
#include <string>
#include <vector>

namespace dynamo_labs {

/** Typed reads of an options object; each throws a TypeError that names the field and what was expected. */
class Arguments {
public:
  explicit Arguments(const Napi::Value& value, const char* what) : env_(value.Env()) {
    if (!value.IsObject()) throw Napi::TypeError::New(env_, std::string("Expected `") + what + "` to be an object");
    object_ = value.As<Napi::Object>();
  }

  bool has(const char* field) const { return !get(field).IsUndefined(); }
  double number(const char* field) const {
    const Napi::Value value = get(field);
    if (!value.IsNumber()) fail(field, "a number");
    return value.As<Napi::Number>().DoubleValue();
  }
  int integer(const char* field) const {
    const double value = number(field);
    if (value != std::floor(value) || std::fabs(value) > 2147483647.0) fail(field, "a 32-bit integer");
    return static_cast<int>(value);
  }
  uint64_t offset(const char* field) const {
    const double value = number(field);
    if (value != std::floor(value) || value < 0 || value > 9007199254740991.0) fail(field, "a safe non-negative integer");
    return static_cast<uint64_t>(value);
  }
  uint64_t bigint(const char* field) const {
    const Napi::Value value = get(field);
    bool lossless = false;
    if (!value.IsBigInt()) fail(field, "a bigint");
    return value.As<Napi::BigInt>().Uint64Value(&lossless);
  }
  bool boolean(const char* field) const {
    const Napi::Value value = get(field);
    if (!value.IsBoolean()) fail(field, "a boolean");
    return value.As<Napi::Boolean>().Value();
  }
  std::string string(const char* field) const {
    const Napi::Value value = get(field);
    if (!value.IsString()) fail(field, "a string");
    return value.As<Napi::String>().Utf8Value();
  }
  Napi::Array array(const char* field) const {
    const Napi::Value value = get(field);
    if (!value.IsArray()) fail(field, "an array");
    return value.As<Napi::Array>();
  }
  std::vector<int32_t> int32s(const char* field) const {
    const Napi::Value value = get(field);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) fail(field, "an Int32Array");
    const Napi::Int32Array array = value.As<Napi::Int32Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }
  std::vector<double> float64s(const char* field) const {
    const Napi::Value value = get(field);
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) fail(field, "a Float64Array");
    const Napi::Float64Array array = value.As<Napi::Float64Array>();
    return {array.Data(), array.Data() + array.ElementLength()};
  }
  Napi::Value get(const char* field) const { return object_.Get(field); }

private:
  [[noreturn]] void fail(const char* field, const char* expected) const {
    throw Napi::TypeError::New(env_, std::string("Expected `") + field + "` to be " + expected);
  }
  Napi::Env env_;
  Napi::Object object_;
};

} // namespace dynamo_labs
