#include "util/thread_pool.h"

#include <vector>

#include "check.h"

using namespace dynamo_labs;

int main() {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (int count = 0; count < 400; count++) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
      pool.run(count, [&](int i, int thread) {
        CHECK(thread >= 0 && thread < threads);
        visits[i]++;
      });
      for (const auto& visit : visits) CHECK(visit == 1);
    }
  }
}
