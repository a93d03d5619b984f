#include "transformer.h"

#include <algorithm>
#include <cstring>

namespace dynamo_labs::model {

namespace {

constexpr int kRowsPerJob = 16;
/** Query rows per attention job: enough to pay for widening a tile, few enough for the scores to stay in the cache. */
constexpr int kAttentionRows = 96;

struct AttentionJob {
  int slice, kv_head, token_begin, token_end;
};

} // namespace

/** The slices flattened to rows. */
struct Transformer::Batch {
  const std::vector<SequenceSlice>& slices;
  const KvPool& pool;
  std::vector<int> first_row, slice_of_row, position_of_row;
  std::vector<AttentionJob> jobs;
  int longest = 0;

  Batch(const std::vector<SequenceSlice>& slices, const KvPool& pool, const ModelSpec& spec) : slices(slices), pool(pool) {
    const int step = std::max(1, kAttentionRows / spec.headsPerKvHead());
    for (int s = 0; s < static_cast<int>(slices.size()); s++) {
      const SequenceSlice& slice = slices[s];
      first_row.push_back(rows());
      longest = std::max(longest, slice.start + slice.count);
      for (int t = 0; t < slice.count; t++) slice_of_row.push_back(s), position_of_row.push_back(slice.start + t);
      // Late tokens see the most positions: they go first, so that threads finish together.
      for (int end = slice.count; end > 0; end -= step)
        for (int h = 0; h < spec.kv_heads; h++) jobs.push_back({s, h, std::max(0, end - step), end});
    }
  }
  int rows() const { return static_cast<int>(slice_of_row.size()); }
};

Transformer::Transformer(ModelSpec spec, ModelWeights weights, KvLayout layout, const Kernels& kernels, int threads, Arithmetic arithmetic)
    : spec_(std::move(spec)), weights_(std::move(weights)), layout_(layout), kernels_(kernels), arithmetic_(arithmetic), rope_(spec_.inverse_frequencies, spec_.max_position),
      pool_(threads), scratch_(static_cast<size_t>(threads)) {}

const float* Transformer::forward(const std::vector<SequenceSlice>& slices, const KvPool& pool, const std::atomic<bool>& cancelled) {
  const Batch batch(slices, pool, spec_);
  const size_t rows = static_cast<size_t>(batch.rows());
  const int hidden = spec_.hidden_size;
  residual_.reserve(rows * hidden);
  hidden_.reserve(rows * hidden);
  qkv_.reserve(rows * weights_.layers[0].qkv.paddedOutputs());
  attended_.reserve(rows * spec_.queryWidth());
  gate_up_.reserve(rows * weights_.layers[0].gate_up.paddedOutputs());
  const int attention_rows = std::max(kAttentionRows, spec_.headsPerKvHead());
  for (AlignedBuffer& scratch : scratch_) scratch.reserve(std::max(kMatmulScratch, attentionScratch(attention_rows, batch.longest, spec_.head_dim)));

  embed(batch);
  for (int l = 0; l < spec_.layers && !cancelled.load(std::memory_order_relaxed); l++) {
    const LayerWeights& layer = weights_.layers[l];
    matmul(layer.qkv, hidden_.data(), hidden, batch.rows(), qkv_.data(), layer.qkv.paddedOutputs());
    writeKv(batch, l);
    attend(batch, l);
    matmul(layer.attention_output, attended_.data(), spec_.queryWidth(), batch.rows(), hidden_.data(), hidden);
    addAndNormalise(batch.rows(), layer.ffn_norm);
    feedForward(batch.rows(), layer);
    addAndNormalise(batch.rows(), l + 1 < spec_.layers ? weights_.layers[l + 1].attention_norm : weights_.final_norm);
  }
  return project(batch);
}

void Transformer::embed(const Batch& batch) {
  const size_t hidden = static_cast<size_t>(spec_.hidden_size);
  eachRow(batch.rows(), [&](int row) {
    const int slice = batch.slice_of_row[row], token = batch.slices[slice].tokens[row - batch.first_row[slice]];
    float* x = residual_.data() + row * hidden;
    weights_.embedding.readRow(token, x);
    kernels_.rmsNorm(x, weights_.layers[0].attention_norm, hidden_.data() + row * hidden, spec_.hidden_size, spec_.rms_eps);
  });
}

/** Bias, per-head norm and rotation of q and k, then k and v into the pool. */
void Transformer::writeKv(const Batch& batch, int layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const size_t stride = weights.qkv.paddedOutputs();
  eachRow(batch.rows(), [&](int row) {
    float* qkv = qkv_.data() + row * stride;
    const int position = batch.position_of_row[row];
    if (weights.qkv_bias) kernels_.add(qkv, weights.qkv_bias, spec_.qkvWidth());
    for (int h = 0; h < spec_.heads + spec_.kv_heads; h++) {
      float* head = qkv + h * spec_.head_dim;
      if (weights.q_norm) kernels_.rmsNorm(head, h < spec_.heads ? weights.q_norm : weights.k_norm, head, spec_.head_dim, spec_.rms_eps);
      kernels_.rotate(head, rope_.cosines(position), rope_.sines(position), rope_.half());
    }
    const int block = batch.slices[batch.slice_of_row[row]].block_table[position / layout_.block_tokens];
    uint16_t* block_layer = batch.pool.base + block * layout_.blockElements() + layer * layout_.layerElements();
    const float* k = qkv + spec_.queryWidth();
    kernels_.storeKv(layout_, block_layer, position % layout_.block_tokens, k, k + spec_.kvWidth());
  });
}

void Transformer::attend(const Batch& batch, int layer) {
  const size_t q_stride = weights_.layers[layer].qkv.paddedOutputs(), out_stride = spec_.queryWidth();
  pool_.run(static_cast<int>(batch.jobs.size()), [&](int i, int thread) {
    const AttentionJob& job = batch.jobs[i];
    const SequenceSlice& slice = batch.slices[job.slice];
    const size_t row = static_cast<size_t>(batch.first_row[job.slice]);
    kernels_.attention({&layout_, batch.pool.base, layer, job.kv_head, spec_.headsPerKvHead(), slice.block_table, slice.start, job.token_begin, job.token_end,
                        qkv_.data() + row * q_stride, q_stride, attended_.data() + row * out_stride, out_stride, scratch_[thread].data()});
  });
}

void Transformer::feedForward(int rows, const LayerWeights& weights) {
  const size_t stride = weights.gate_up.paddedOutputs();
  matmul(weights.gate_up, hidden_.data(), spec_.hidden_size, rows, gate_up_.data(), stride);
  eachRow(rows, [&](int row) {
    float* gate = gate_up_.data() + row * stride;
    kernels_.swiGlu(gate, gate + spec_.ffn_size, spec_.ffn_size);
  });
  matmul(weights.down, gate_up_.data(), stride, rows, hidden_.data(), spec_.hidden_size);
}

/** residual += hidden; hidden = norm(residual) */
void Transformer::addAndNormalise(int rows, const float* norm) {
  const size_t hidden = static_cast<size_t>(spec_.hidden_size);
  eachRow(rows, [&](int row) {
    float *x = residual_.data() + row * hidden, *h = hidden_.data() + row * hidden;
    kernels_.add(x, h, spec_.hidden_size);
    kernels_.rmsNorm(x, norm, h, spec_.hidden_size, spec_.rms_eps);
  });
}

const float* Transformer::project(const Batch& batch) {
  const size_t hidden = static_cast<size_t>(spec_.hidden_size);
  int wanted = 0;
  for (size_t s = 0; s < batch.slices.size(); s++) {
    if (!batch.slices[s].wants_logits) continue;
    const size_t last = static_cast<size_t>(batch.first_row[s]) + batch.slices[s].count - 1;
    std::memcpy(residual_.data() + wanted++ * hidden, hidden_.data() + last * hidden, hidden * sizeof(float));
  }
  float* logits = logits_.reserve(wanted * logitsStride());
  if (wanted) matmul(weights_.outputHead(), residual_.data(), hidden, wanted, logits, logitsStride());
  for (int row = 0; row < wanted; row++) std::fill(logits + row * logitsStride() + spec_.vocab_size, logits + (row + 1) * logitsStride(), -1e30f);
  return logits;
}

void Transformer::matmul(const PackedMatrix& weights, const float* x, size_t x_stride, int rows, float* y, size_t y_stride) {
  // Tiles take up to 8 panels; a job of 16 keeps them whole and gives every thread work.
  const int panels = weights.panels(), step = pool_.threads() == 1 ? panels : 16, jobs = (panels + step - 1) / step;
  if (arithmetic_ == Arithmetic::Integer && weights.quantised()) {
    quantised_.reserve(rows, weights.inputs);
    eachRow(rows, [&](int row) { kernels_.quantiseRow(x + row * x_stride, quantised_.groups(), quantised_.tile(row), row); });
    pool_.run(jobs, [&](int i, int) { kernels_.matmulInteger({&weights, i * step, std::min(panels, (i + 1) * step), &quantised_, rows, y, y_stride}); });
  } else {
    pool_.run(jobs, [&](int i, int thread) {
      kernels_.matmul({&weights, i * step, std::min(panels, (i + 1) * step), x, x_stride, rows, y, y_stride, scratch_[thread].data()});
    });
  }
}

template <class F> void Transformer::eachRow(int rows, F body) {
  pool_.run((rows + kRowsPerJob - 1) / kRowsPerJob, [&](int job, int) {
    for (int row = job * kRowsPerJob; row < std::min(rows, (job + 1) * kRowsPerJob); row++) body(row);
  });
}

} // namespace dynamo_labs::model
