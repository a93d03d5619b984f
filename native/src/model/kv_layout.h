#pragma once
#include <cstddef>
#include <cstdint>

namespace dynamo_labs::model {

/**
 * Where a token's keys and values lie in the pool: f16, one block contiguous, all layers in it.
 *
 *   block b, layer l, K of head h, element i, token t:  b*block + l*layer + (h*head_dim + i)*block_tokens + t
 *   block b, layer l, V of head h, element i, token t:  b*block + l*layer + key + (h*block_tokens + t)*head_dim + i
 *
 * (element counts; keys are transposed so that 16 tokens of one element form the vector a kernel multiplies by).
 */
struct KvLayout {
  int layers = 0, kv_heads = 0, head_dim = 0, block_tokens = 0;

  size_t keyElements() const { return static_cast<size_t>(kv_heads) * head_dim * block_tokens; }
  size_t layerElements() const { return 2 * keyElements(); }
  size_t blockElements() const { return layers * layerElements(); }
  size_t blockBytes() const { return blockElements() * 2; }
};

/** Caller-owned memory of `blocks` blocks, 64-byte aligned. */
struct KvPool {
  uint16_t* base = nullptr;
  int blocks = 0;
};

} // namespace dynamo_labs::model
