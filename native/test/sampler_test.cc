#include "model/sampler.h"

#include <cmath>
#include <vector>

#include "check.h"
#include "model/model_error.h"

using namespace dynamo_labs::model;

namespace {

constexpr int kVocab = 1000;
const Kernels& kernels = selectKernels("auto");

std::vector<float> logits() {
  std::vector<float> all(1008, -1e30f);
  for (int i = 0; i < kVocab; i++) all[i] = std::sin(static_cast<float>(i)) * 3;
  return all;
}

Sampled draw(Sampling sampling) {
  std::vector<float> all = logits();
  const std::vector<float> before = all;
  const Sampled result = sample(all.data(), kVocab, all.size(), sampling, kernels);
  CHECK(all == before); // bans leave no trace
  return result;
}

void greedyTakesTheLowestOfEquals() {
  std::vector<float> all(16, 0.f);
  all[5] = all[9] = 2;
  Sampling sampling;
  CHECK(sample(all.data(), 16, 16, sampling, kernels).token == 5);
  sampling.banned = {5, -3, 99};
  CHECK(sample(all.data(), 16, 16, sampling, kernels).token == 9);
}

void frequenciesFollowTheDistribution() {
  const std::vector<float> all = logits();
  double total = 0;
  for (int i = 0; i < kVocab; i++) total += std::exp(all[i]);
  std::vector<int> counts(kVocab);
  constexpr int kDraws = 40000;
  Sampling sampling;
  sampling.temperature = 1;
  sampling.seed = 3;
  for (int position = 0; position < kDraws; position++) {
    sampling.position = position;
    counts[draw(sampling).token]++;
  }
  double distance = 0; // chi-square with 999 degrees of freedom: 99.99 % lie below 1175
  for (int i = 0; i < kVocab; i++) {
    const double expected = kDraws * std::exp(all[i]) / total;
    distance += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  CHECK(distance < 1175 && distance > 830);
}

void topKAndTopPCutTheTail() {
  Sampling sampling;
  sampling.temperature = 2;
  sampling.top_k = 5;
  sampling.top_logprobs = 5;
  for (int position = 0; position < 500; position++) {
    sampling.position = position;
    const Sampled result = draw(sampling);
    bool kept = false;
    for (const auto& [token, logprob] : result.top) kept |= token == result.token && logprob == result.logprob;
    CHECK(kept);
    for (size_t i = 1; i < result.top.size(); i++) CHECK(result.top[i - 1].second >= result.top[i].second);
  }
  sampling.top_k = 0;
  sampling.top_p = 1e-6f;
  const int32_t best = draw({}).token;
  for (int position = 0; position < 50; position++) {
    sampling.position = position;
    CHECK(draw(sampling).token == best);
  }
}

void notANumberIsAnError() {
  std::vector<float> all(16, NAN);
  try {
    sample(all.data(), 16, 16, {}, kernels);
  } catch (const ModelError& error) {
    CHECK(error.code() == "NOT_FINITE" && error.field() == "logits");
    return;
  }
  CHECK(false);
}

} // namespace

int main() {
  greedyTakesTheLowestOfEquals();
  frequenciesFollowTheDistribution();
  topKAndTopPCutTheTail();
  notANumberIsAnError();
}
