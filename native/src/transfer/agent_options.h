#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "fault_plan.h"

namespace dynamo_labs::transfer {

struct AgentOptions {
  std::string name;
  /** Both sides of a transfer must have the same. */
  std::string fingerprint;
  /** Shared secret; every connection proves that it knows it. */
  std::string token;
  /** `unix:…` and `tcp:…`; none = this agent only reads. */
  std::vector<std::string> listen;
  /** Threads that copy out of shared memory. */
  int workers = 1;
  /** Data connections to a peer over sockets, and the threads that they live on. */
  int lanes = 2;
  /** What is requested, verified and resumed as one; 4 KiB … 4 MiB. */
  uint32_t chunk_bytes = 256 << 10;
  /** Bytes asked for and not yet verified: of one peer, and of all. */
  uint64_t peer_window = 8 << 20, window = 64 << 20;
  /** Reads under way; more are refused with ADMISSION. */
  uint32_t max_transfers = 4096;
  uint32_t max_connections = 384;
  int64_t handshake_ms = 2000;
  /** Connection attempts without progress before a read gives up. */
  uint32_t max_attempts = 6;
  /** Reads of at most so many bytes over a mapped pool are copied on the calling thread. */
  uint64_t inline_bytes = 64 << 10;
  std::vector<FaultSpec> faults;
  uint64_t fault_seed = 1;
};

} // namespace dynamo_labs::transfer
