#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "tensor.h"

namespace dynamo_labs::model {

/** Rows that lie together in a group: the tallest register tile of the integer kernels. */
constexpr int kRowTile = 16;

/**
 * 32 consecutive inputs of 16 rows as int8: x = scale * quant, |quant| <= 127. A row's numbers depend on that row alone.
 * One struct holds all a kernel needs of a tile and group, at offsets known when it is compiled.
 */
struct alignas(64) QuantisedGroup {
  int8_t quants[kRowTile][kQuantGroup];
  float scales[kRowTile];
  float scaled_sums[kRowTile]; ///< scale * sum of quants: what a group's constant minimum is multiplied by
  int32_t offsets[kRowTile];   ///< -128 * sum of quants: makes up for signed weights read as unsigned ones plus 128
};

/** A matrix of activations as groups [row / 16][input / 32]. Grows and never shrinks; growing loses the content. */
class QuantisedRows {
public:
  void reserve(int rows, int inputs) {
    groups_ = inputs / kQuantGroup;
    const size_t needed = static_cast<size_t>((rows + kRowTile - 1) / kRowTile) * groups_;
    if (needed <= capacity_) return;
    data_.reset(static_cast<QuantisedGroup*>(std::aligned_alloc(64, needed * sizeof(QuantisedGroup))));
    if (!data_) throw std::bad_alloc();
    capacity_ = needed;
  }
  int groups() const { return groups_; }
  /** The groups of the 16 rows that `row` is one of. */
  QuantisedGroup* tile(int row) const { return data_.get() + static_cast<size_t>(row / kRowTile) * groups_; }

private:
  struct Free {
    void operator()(QuantisedGroup* p) const { std::free(p); }
  };
  std::unique_ptr<QuantisedGroup, Free> data_;
  size_t capacity_ = 0;
  int groups_ = 0;
};

} // namespace dynamo_labs::model
