#pragma once
#include <napi.h>

#include <vector>

#include "../model/engine.h"
#include "napi_arguments.h"

namespace dynamo_labs {

/** The shapes of lib/native.ts as plain structs and back. Reading throws a TypeError or ModelError that names the field. */
model::LoadRequest readLoadRequest(const Arguments& from);
std::vector<model::StepSlice> readSlices(const Napi::Value& value);
Napi::Object toObject(Napi::Env env, const model::StepResult& result);

} // namespace dynamo_labs
