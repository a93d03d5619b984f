#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model_error.h"

namespace dynamo_labs::model {

namespace {

uint64_t mix(uint64_t x) { // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return x ^ x >> 31;
}

/** In [0, 1), a function of seed and position only. */
double uniform(uint64_t seed, int position) { return static_cast<double>(mix(mix(seed) ^ static_cast<uint64_t>(position)) >> 11) * 0x1p-53; }

/** More likely first; equal ones by id, so that the order is total. */
struct MoreLikely {
  const float* logits;
  bool operator()(int32_t a, int32_t b) const { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; }
};

int32_t mostLikely(const float* logits, int vocab_size) { return static_cast<int32_t>(std::max_element(logits, logits + vocab_size) - logits); }

/** Candidates in order of likelihood, sorted only as far as they are asked for. */
class Ranking {
public:
  Ranking(const float* logits, int vocab_size) : order_(static_cast<size_t>(vocab_size)), less_{logits} { std::iota(order_.begin(), order_.end(), 0); }
  int32_t operator[](size_t rank) {
    while (rank >= sorted_) {
      const size_t end = std::min(order_.size(), std::max<size_t>(64, sorted_ * 8));
      std::partial_sort(order_.begin() + sorted_, order_.begin() + end, order_.end(), less_);
      sorted_ = end;
    }
    return order_[rank];
  }
  size_t size() const { return order_.size(); }

private:
  std::vector<int32_t> order_;
  MoreLikely less_;
  size_t sorted_ = 0;
};

int32_t draw(const float* logits, int vocab_size, float highest, const Sampling& s) {
  const double u = uniform(s.seed, s.position), scale = 1.0 / s.temperature;
  const auto weight = [&](int32_t token) { return std::exp((static_cast<double>(logits[token]) - highest) * scale); };
  if (s.top_k <= 0 && s.top_p >= 1) {
    double total = 0, seen = 0;
    for (int32_t t = 0; t < vocab_size; t++) total += weight(t);
    for (int32_t t = 0; t < vocab_size; t++)
      if ((seen += weight(t)) > u * total) return t;
    return mostLikely(logits, vocab_size);
  }
  Ranking ranking(logits, vocab_size);
  const size_t limit = s.top_k > 0 ? std::min<size_t>(s.top_k, ranking.size()) : ranking.size();
  double total = 0; // top-p is a share of what top-k kept
  if (limit == ranking.size())
    for (int32_t t = 0; t < vocab_size; t++) total += weight(t);
  else
    for (size_t rank = 0; rank < limit; rank++) total += weight(ranking[rank]);
  double kept = 0;
  size_t count = 0;
  while (count < limit && (count == 0 || kept < s.top_p * total)) kept += weight(ranking[count++]);
  double seen = 0;
  for (size_t rank = 0; rank < count; rank++)
    if ((seen += weight(ranking[rank])) > u * kept) return ranking[rank];
  return ranking[count - 1];
}

} // namespace

Sampled sample(float* logits, int vocab_size, size_t padded_size, const Sampling& s, const Kernels& kernels) {
  const int padded = static_cast<int>(padded_size);
  const float total_highest = kernels.maximum(logits, padded);
  const float sum = kernels.sumExp(logits, padded, total_highest);
  if (!std::isfinite(sum) || !(sum > 0)) throw ModelError("NOT_FINITE", "logits", "the model produced a NaN or an infinity");
  const float log_sum = total_highest + std::log(sum);

  std::vector<std::pair<int32_t, float>> banned;
  for (int32_t token : s.banned)
    if (token >= 0 && token < vocab_size) banned.emplace_back(token, logits[token]), logits[token] = -1e30f;
  Sampled result;
  const int32_t best = mostLikely(logits, vocab_size);
  result.token = s.temperature > 0 ? draw(logits, vocab_size, logits[best], s) : best;
  for (auto entry = banned.rbegin(); entry != banned.rend(); ++entry) logits[entry->first] = entry->second;

  if (s.top_logprobs >= 0) {
    result.logprob = logits[result.token] - log_sum;
    Ranking ranking(logits, s.top_logprobs > 0 ? vocab_size : 0);
    for (int rank = 0; rank < std::min(s.top_logprobs, vocab_size); rank++) result.top.emplace_back(ranking[rank], logits[ranking[rank]] - log_sum);
  }
  return result;
}

} // namespace dynamo_labs::model
