#include "rope_table.h"

#include <cmath>

namespace dynamo_labs::model {

RopeTable::RopeTable(const std::vector<double>& inverse_frequencies, int positions)
    : half_(static_cast<int>(inverse_frequencies.size())), cosines_(static_cast<size_t>(positions) * half_), sines_(cosines_.size()) {
  for (int p = 0; p < positions; p++)
    for (int i = 0; i < half_; i++) {
      const double angle = p * inverse_frequencies[i];
      cosines_[static_cast<size_t>(p) * half_ + i] = static_cast<float>(std::cos(angle));
      sines_[static_cast<size_t>(p) * half_ + i] = static_cast<float>(std::sin(angle));
    }
}

} // namespace dynamo_labs::model
