#pragma once
#include <napi.h>

#include <string>
#include <vector>

#include "../transfer/agent.h"
#include "napi_arguments.h"

namespace dynamo_labs {

// Plain values of the transfer engine to and from JavaScript. Ids and offsets are numbers below 2^53, epochs are bigints.
Napi::Value toValue(Napi::Env env, const transfer::TransferResult& result);
Napi::Value toValue(Napi::Env env, const transfer::Event& event);
Napi::Value toValue(Napi::Env env, const transfer::GrantRef& grant);
Napi::Value toValue(Napi::Env env, const transfer::Metrics& metrics, size_t live_grants);

transfer::AgentOptions readAgentOptions(const Arguments& from);
transfer::GrantRef readGrantRef(const Arguments& from);
std::vector<transfer::Piece> readPieces(const Arguments& from);
std::vector<transfer::Range> readRanges(const Arguments& from);
std::vector<std::string> readStrings(const Napi::Array& from);
std::vector<transfer::TransportKind> readTransports(const Napi::Array& from);
/** An Error with the failure's code, phase and errno. */
Napi::Error toError(Napi::Env env, const transfer::Failure& failure);
/** The memory of an ArrayBuffer. */
uint8_t* bytesOf(const Napi::Value& value, uint64_t& bytes);
/** The functions of napi_transfer_ceiling.cc. */
void registerTransferCeilings(Napi::Env env, Napi::Object exports);

/** Runs `body`; what the engine throws becomes a JS Error with code, phase and errno. */
template <class Body> auto guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const transfer::AgentError& error) {
    throw toError(env, error.failure);
  } catch (const transfer::Failure& failure) {
    throw toError(env, failure);
  } catch (const std::invalid_argument& error) {
    throw toError(env, {transfer::Code::InvalidParam, transfer::Phase::Queued, 0, error.what()});
  } catch (const std::system_error& error) {
    throw toError(env, {transfer::Code::Backend, transfer::Phase::Queued, error.code().value(), error.what()});
  }
}

} // namespace dynamo_labs
