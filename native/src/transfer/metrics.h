#pragma once
#include <atomic>
#include <cstdint>

#include "status.h"

namespace dynamo_labs::transfer {

/** Counters of one agent since it was made. Any thread. */
struct Metrics {
  using Counter = std::atomic<uint64_t>;
  Counter bytes_read[5]{}, bytes_served{0};
  Counter transfers[5][kCodes]{};
  Counter fallbacks[5]{}, retries{0}, resumed_bytes{0}, checksum_failures{0}, inline_reads{0};
  Counter credit_stalls{0}, refused[kCodes]{}, notifications_sent{0}, notifications_received{0}, notifications_repeated{0};
  Counter leases_granted{0}, leases_renewed{0}, leases_ended[4]{};
  Counter duration_us_sum{0}, duration_count{0};
  /** Reads by duration: ≤ 100 µs, 1 ms, 10 ms, 100 ms, 1 s, 10 s, more. */
  Counter duration_bucket[7]{};

  void ended(TransportKind kind, Code code, uint64_t bytes, int64_t duration_us) {
    bytes_read[static_cast<size_t>(kind)] += bytes;
    transfers[static_cast<size_t>(kind)][static_cast<size_t>(code)]++;
    duration_us_sum += static_cast<uint64_t>(duration_us);
    duration_count++;
    size_t bucket = 0;
    for (int64_t limit = 100; bucket < 6 && duration_us > limit; limit *= 10) bucket++;
    duration_bucket[bucket]++;
  }
};

} // namespace dynamo_labs::transfer
