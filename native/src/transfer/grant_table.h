#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "chunk_plan.h"
#include "pool.h"
#include "status.h"

namespace dynamo_labs::transfer {

/** What a reader needs to know of a grant; travels in kv_transfer_params. */
struct GrantRef {
  uint64_t id = 0;
  uint32_t pool = 0;
  uint32_t slot = 0;
  /** The pool's clock when it was granted: blocks withdrawn later are not covered. */
  uint64_t clock = 0;
};

enum class GrantEnd : uint8_t { Released, Revoked, ExpiredNeverAsked, ExpiredInFlight };
const char* name(GrantEnd end);

struct GrantReport {
  GrantRef ref;
  std::string request_id;
  GrantEnd end = GrantEnd::Released;
  /** Served over sockets; what was read from shared memory is known only by its Release. */
  uint64_t bytes_served = 0, bytes = 0;
  uint32_t renewals = 0, releases = 0;
};

struct GrantSpec {
  std::vector<Range> ranges;
  int64_t lease_ms = 30'000;
  /** It ends when so many readers have released it; 0 = only by revocation or expiry. */
  uint32_t readers = 1;
  /** Others may push into it. */
  bool writable = false;
  std::string request_id;
};

/** The owner's leases. Thread contract: any thread; nothing is called back. */
class GrantTable {
public:
  /** InvalidParam for ranges outside the pool, Admission where all slots are taken. */
  Failure add(const std::shared_ptr<Pool>& pool, const GrantSpec& spec, GrantRef& out);
  /** Ok, or why these bytes may not be read: NotFound, Expired, InvalidParam. A grant that is asked for is renewed: progress keeps it alive. */
  Failure check(uint64_t id, uint32_t pool, const std::vector<Range>& ranges, std::shared_ptr<Pool>& out);
  /** The memory of a live, writable grant. */
  Failure checkWrite(uint64_t id, const std::vector<Range>& ranges, std::shared_ptr<Pool>& out);
  void served(uint64_t id, uint64_t bytes);
  bool renew(uint64_t id);
  /** One reader is done; with the last one the grant ends and is reported. */
  bool release(uint64_t id, std::vector<GrantReport>& ended);
  bool revoke(uint64_t id, std::vector<GrantReport>& ended);
  void revokePool(uint32_t pool, std::vector<GrantReport>& ended);
  /** Ends what was not renewed in time; returns when to look again. `all` = as if every lease had run out. */
  int64_t expire(int64_t now, std::vector<GrantReport>& ended, bool all = false);
  size_t live() const;

private:
  struct Grant {
    GrantReport report;
    std::shared_ptr<Pool> pool;
    std::vector<Range> ranges;
    int64_t lease_ns, expires;
    uint32_t readers;
    bool writable, asked;
  };
  using Grants = std::unordered_map<uint64_t, Grant>;
  Grants::iterator end(Grants::iterator grant, GrantEnd how, std::vector<GrantReport>& ended);
  Failure find(uint64_t id, const std::vector<Range>& ranges, Grant*& out);

  mutable std::mutex mutex_;
  Grants grants_;
  std::unordered_map<uint32_t, std::vector<bool>> slots_;
  uint64_t next_ = 0;
};

} // namespace dynamo_labs::transfer
