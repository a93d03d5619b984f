#pragma once
#include <cstddef>
#include <vector>

namespace dynamo_labs::model {

/** cos and sin of position * inverse frequency, computed in double and rounded once. */
class RopeTable {
public:
  RopeTable(const std::vector<double>& inverse_frequencies, int positions);
  const float* cosines(int position) const { return cosines_.data() + static_cast<size_t>(position) * half_; }
  const float* sines(int position) const { return sines_.data() + static_cast<size_t>(position) * half_; }
  int half() const { return half_; }

private:
  int half_;
  std::vector<float> cosines_, sines_;
};

} // namespace dynamo_labs::model
