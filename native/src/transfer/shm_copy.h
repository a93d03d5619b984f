#pragma once
#include "fault_plan.h"
#include "grant_table.h"
#include "pool.h"
#include "transfer.h"

namespace dynamo_labs::transfer {

/** Another process's pool as long as its owner is known to live. */
struct ShmSource {
  std::shared_ptr<MappedPool> pool;
  std::shared_ptr<std::atomic<bool>> owner_lives;
};

/**
 * Copies one chunk out of a mapped pool. The grant's slot and the generation of every block are checked before and after: Expired if either
 * changed, so that bytes which may be somebody else's are never counted, and what does not count is wiped. Verified = every byte at the
 * destination compared with the source, which says more than equal hashes would and costs less.
 */
Code copyChunk(const ShmSource& source, const GrantRef& grant, Pool& local, const Piece* begin, const Piece* end, bool verify, FaultPlan* faults,
               const std::atomic<bool>* stop = nullptr);

/** Ok while the grant covers these pieces. */
Code grantStands(const MappedPool& pool, const GrantRef& grant, const Piece* begin, const Piece* end);

} // namespace dynamo_labs::transfer
