// Products of activations and weights, forward and backward, each fused with the pass over memory
// that follows it. Included by isa_*.cpp only. The left factor is read in place if its rows are whole
// words.
#pragma once

#include "model/kernels/cpu/gated_passes.h"
#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/row_passes.h"
#include "model/kernels/cpu/small_products.h"
#include "model/kernels/cpu/weight_packing.h"

namespace uvic::model::UVIC_ISA {

constexpr int64_t kGradSteps = 256;  // words of rows per pass of the gradient of a weight
#if defined(UVIC_AMX)
constexpr int64_t kBlockRows = 288;  // as below, for 32 rows at a time
constexpr int64_t kGradOutputs = 96;
constexpr int64_t kTurnedRow =
    kGradSteps + kLanes;  // words from output to output, transposed for tiles
#else
constexpr int64_t kBlockRows =
    96;  // a multiple of every product_height(); the block's left factor stays in L2
constexpr int64_t kGradOutputs =
    48;  // outputs packed together; a multiple of kLanes and of every product_height()
constexpr int64_t kTurnedRow = 0;
#endif
constexpr int64_t kMostSteps = 512;  // steps of one group that fit in L1 and L2

int64_t product_row_blocks(int64_t rows) { return divide_up(rows, kBlockRows); }
int64_t product_tasks(const ProductCall& call) {
  return product_row_blocks(call.rows) * pack_groups(call.columns);
}
int64_t product_scratch(const ProductCall& call) {
  return kBlockRows * (kGroupColumns + rounded_up(steps_of(call.type, call.inner), kLanes));
}

template <ProductEnd kEnd>
constexpr bool kIsGrad = kEnd == ProductEnd::gelu_grad || kEnd == ProductEnd::swiglu_grad;
/// y and z of a SwiGLU have the columns of both halves.
template <ProductEnd kEnd>
constexpr int64_t kHalves = kEnd == ProductEnd::swiglu_grad ? 2 : 1;

/// The fused operation for `rows` rows of a group: p [rows][lanes], where row 0 is row `row` of the
/// result.
template <class T, ProductEnd kEnd>
void finish_product(const ProductCall& call,
                    const float* p,
                    int64_t lanes,
                    int64_t row,
                    int64_t rows,
                    int64_t column) {
  const int64_t width = smaller(lanes, call.columns - column);
  const float* bias = call.bias ? call.bias + column : nullptr;
  float* sums = kIsGrad<kEnd>
                    ? call.column_sums + row / kBlockRows * kHalves<kEnd> * call.columns + column
                    : nullptr;
  if (sums && row % kBlockRows == 0)
    for (int64_t half = 0; half < kHalves<kEnd>; ++half)
      zero_floats(sums + half * call.columns, width);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = (row + r) * call.columns + column;
    const int64_t wide_at = (row + r) * kHalves<kEnd> * call.columns + column;
    T* y = static_cast<T*>(call.y) + wide_at;
    T* z = static_cast<T*>(call.z) + wide_at;
    [[maybe_unused]] T* activated = static_cast<T*>(call.activated) + at;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      Vec v = load(p + r * lanes + d);
      if (bias) v += load_lanes(bias + d, n);
      if constexpr (kEnd == ProductEnd::store) store_lanes(y + d, v, n);
      if constexpr (kEnd == ProductEnd::add) {
        if (call.residual) v += load_lanes(call.residual + at + d, n);
        store_lanes(call.sum + at + d, v, n);
      }
      if constexpr (kEnd == ProductEnd::gelu) {
        store_lanes(z + d, v, n);
        const Vec hidden = load_lanes(z + d, n);  // as the backward pass will read it
        store_lanes(y + d, hidden * normal_distribution(hidden).below, n);
      }
      if constexpr (kEnd == ProductEnd::gelu_grad) {
        const Vec hidden = load_lanes(z + d, n);
        const Normal normal = normal_distribution(hidden);
        v = v * (normal.below + hidden * normal.density);
        store_lanes(y + d, v, n);
        store_lanes(activated + d, hidden * normal.below, n);
        add_lanes(sums + d, v, n);
      }
      if constexpr (kEnd == ProductEnd::swiglu_grad) {
        const int64_t other = call.columns + d;
        const auto g = swiglu_gradient(load_lanes(z + d, n), load_lanes(z + other, n), v);
        store_lanes(y + d, g.da, n);
        store_lanes(y + other, g.db, n);
        store_lanes(activated + d, g.h, n);
        add_lanes(sums + d, g.da, n);
        add_lanes(sums + other, g.db, n);
      }
    });
  }
}

/// Prefetches the operands of finish_product() during the products before it.
template <class T, ProductEnd kEnd>
UVIC_INLINE void prefetch_end(
    const ProductCall& call, int64_t lanes, int64_t row, int64_t rows, int64_t column) {
  constexpr int64_t kLine = 64;
  const auto lines = [&](const void* data, int64_t at, int64_t size) {
    const char* p = static_cast<const char*>(data) + at * size;
    for (int64_t i = 0; i < lanes * size; i += kLine) __builtin_prefetch(p + i, 1);
  };
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = (row + r) * call.columns + column;
    if constexpr (kEnd == ProductEnd::add) {
      if (call.residual) lines(call.residual, at, sizeof(float));
      lines(call.sum, at, sizeof(float));
    } else {
      for (int64_t half = 0; half < kHalves<kEnd>; ++half) {
        const int64_t wide_at = at + ((row + r) * (kHalves<kEnd> - 1) + half) * call.columns;
        lines(call.y, wide_at, sizeof(T));
        if constexpr (kEnd != ProductEnd::store) lines(call.z, wide_at, sizeof(T));
      }
      if constexpr (kIsGrad<kEnd>) lines(call.activated, at, sizeof(T));
    }
  }
}

/// Whether tasks are numbered block by block of a group of columns, not group by group of a block of
/// rows. With the few rows of a single image, threads then have equal shares and each reads only its
/// share of the weight.
UVIC_INLINE bool columns_first(const ProductCall& call, bool in_place) {
  constexpr int64_t kMostBlocks = 4;
  return in_place && product_row_blocks(call.rows) <= kMostBlocks;
}

template <class Words, class T, ProductEnd kEnd>
void product_range(const ProductCall& call, int64_t begin, int64_t end, float* scratch) {
  [[maybe_unused]] const MultiplierUse use;
  const int64_t groups = pack_groups(call.columns), steps = words_of<Words>(call.inner),
                blocks = product_row_blocks(call.rows);
  const bool in_place = sizeof(T) * Words::kPerWord == 4 && call.inner % Words::kPerWord == 0;
  float *tile = scratch, *rows_copy = scratch + kBlockRows * kGroupColumns;
  const bool by_columns = columns_first(call, in_place);
  int64_t copied = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t block = by_columns ? task % blocks : task / groups,
                  group = by_columns ? task / blocks : task % groups;
    const int64_t row = block * kBlockRows, rows = smaller(kBlockRows, call.rows - row);
    const int64_t column = group * kGroupColumns, lanes = group_lanes(call.columns, column);
    const T* x = static_cast<const T*>(call.x) + row * call.inner;
    Left left{reinterpret_cast<const float*>(x), steps, 1};
    if (!in_place) {
      left = {rows_copy, rounded_up(steps, kLanes), 1};
      if (copied != block) pack_rows<Words>(x, call.inner, rows, call.inner, rows_copy, left.row);
      copied = block;
    }
    const float* b = call.packed + column * steps;
    // The fused operation follows each register tile, so that its stores overlap with the products
    // of the next tile.
    const int64_t height = product_height<Words>(lanes / kLanes);
    for (int64_t r = 0; r < rows; r += height) {
      const int64_t some = smaller(height, rows - r);
      prefetch_end<T, kEnd>(call, lanes, row + r, some, column);
      for (int64_t s = 0; s < steps; s += kMostSteps)
        product<Words>(some,
                       lanes / kLanes,
                       smaller(kMostSteps, steps - s),
                       Left{left.data + r * left.row + s, left.row, 1},
                       Right{b + s * lanes, kLanes, lanes},
                       Product{tile, lanes},
                       /*add=*/s > 0);
      finish_product<T, kEnd>(call, tile, lanes, row + r, some, column);
    }
  }
}

template <class Words, class T>
void product_tasks_of(const ProductCall& call, int64_t begin, int64_t end, float* scratch) {
  switch (call.end) {
    case ProductEnd::store:
      return product_range<Words, T, ProductEnd::store>(call, begin, end, scratch);
    case ProductEnd::add:
      return product_range<Words, T, ProductEnd::add>(call, begin, end, scratch);
    case ProductEnd::gelu:
      return product_range<Words, T, ProductEnd::gelu>(call, begin, end, scratch);
    case ProductEnd::gelu_grad:
      return product_range<Words, T, ProductEnd::gelu_grad>(call, begin, end, scratch);
    case ProductEnd::swiglu_grad:
      return product_range<Words, T, ProductEnd::swiglu_grad>(call, begin, end, scratch);
  }
}

void product_tasks_range(const ProductCall& call, int64_t begin, int64_t end, float* scratch) {
  (call.type == ElementType::bf16
       ? product_tasks_of<Bf16Words, uint16_t>
       : product_tasks_of<SingleWords, float>)(call, begin, end, scratch);
}

/// The gradient of a weight is divided along its longer side.
UVIC_INLINE bool split_outputs(const WeightGradCall& call) { return call.outputs >= call.inputs; }

int64_t weight_grad_parts(const WeightGradCall& call) {
  return split_outputs(call) ? divide_up(call.outputs, kGradOutputs)
                             : divide_up(call.inputs, kGroupColumns);
}

/// The rectangle of dw that consists of the parts begin to end.
struct Rectangle {
  int64_t output, outputs, input, inputs;
};
UVIC_INLINE Rectangle weight_grad_rectangle(const WeightGradCall& call,
                                            int64_t begin,
                                            int64_t end) {
  Rectangle r{0, call.outputs, 0, call.inputs};
  if (split_outputs(call)) {
    r.output = begin * kGradOutputs;
    r.outputs = smaller(call.outputs, end * kGradOutputs) - r.output;
  } else {
    r.input = begin * kGroupColumns;
    r.inputs = smaller(call.inputs, end * kGroupColumns) - r.input;
  }
  return r;
}

/// Floats of a packed group of `columns`: an odd number of cache lines, so that groups do not share
/// the same cache sets.
UVIC_INLINE int64_t packed_group(int64_t columns) { return columns * kGradSteps + kLanes; }

/// Rows [rows, width] as words along the rows, in groups of columns: [group][step][columns of the
/// group].
template <class Words, class T>
UVIC_INLINE void pack_down(
    const T* from, int64_t stride, int64_t rows, int64_t width, int64_t group, float* to) {
  for (int64_t s = 0; s < words_of<Words>(rows); ++s) {
    const T* first = from + s * Words::kPerWord * stride;
    const T* second = s * Words::kPerWord + 1 < rows ? first + stride : nullptr;
    for (int64_t g = 0; g < width; g += group) {
      const int64_t lanes = smaller(group, rounded_up(width - g, kLanes));
      float* step = to + g / group * packed_group(group) + s * lanes;
      for (int64_t c = 0; c < lanes; c += kLanes) {
        const int64_t n = smaller(kLanes, width - g - c);
        Vec word = load_lanes(first + g + c, n);
        if constexpr (Words::kPerWord == 2) {  // a widened bf16 is in the upper half already
          const Vec upper = second ? load_lanes(second + g + c, n) : Vec{};
          word = from_bits((bits(word) >> 16) | bits(upper));
        }
        store(step + c, word);
      }
    }
  }
}

int64_t weight_grad_scratch(const WeightGradCall& call, int64_t parts) {
  const Rectangle r = weight_grad_rectangle(call, 0, parts);
  return divide_up(r.outputs, kGradOutputs) * packed_group(kGradOutputs) +
         divide_up(r.inputs, kGroupColumns) * packed_group(kGroupColumns) +
         r.outputs * rounded_up(r.inputs, kLanes) +
         divide_up(r.outputs, kGradOutputs) * kGradOutputs * kTurnedRow;
}

#if defined(UVIC_AMX)
/// The left factor with contiguous steps, [output][kTurnedRow], for tiles.
UVIC_INLINE void turn_groups(const float* left, int64_t outputs, int64_t steps, float* to) {
  for (int64_t o = 0; o < outputs; o += kGradOutputs) {
    const int64_t columns = smaller(kGradOutputs, rounded_up(outputs - o, kLanes));
    turn_strip(smaller(kGradOutputs, outputs - o),
               steps,
               Left{left + o / kGradOutputs * packed_group(kGradOutputs), 1, columns},
               to + o * kTurnedRow,
               kTurnedRow);
  }
}
#endif

template <class Words, class T>
void weight_grad_range(const WeightGradCall& call, int64_t begin, int64_t end, float* scratch) {
  [[maybe_unused]] const MultiplierUse use;
  const Rectangle part = weight_grad_rectangle(call, begin, end);
  const int64_t inputs = rounded_up(part.inputs, kLanes);
  float* left = scratch;
  float* right = left + divide_up(part.outputs, kGradOutputs) * packed_group(kGradOutputs);
  // Whole vectors are written. If the rows of dw are too short for that, a copy is written.
  const bool direct = call.inputs % kLanes == 0;
  float* copy = right + divide_up(part.inputs, kGroupColumns) * packed_group(kGroupColumns);
  [[maybe_unused]] float* turned = copy + part.outputs * inputs;
  float* dw = direct ? call.dw + part.output * call.inputs + part.input : copy;
  const int64_t dw_row = direct ? call.inputs : inputs;

  for (int64_t row = 0; row < call.rows; row += kGradSteps * Words::kPerWord) {
    const int64_t rows = smaller(kGradSteps * Words::kPerWord, call.rows - row),
                  steps = words_of<Words>(rows);
    const T* dy = static_cast<const T*>(call.dy) + row * call.outputs + part.output;
    const T* x = static_cast<const T*>(call.x) + row * call.inputs + part.input;
    pack_down<Words>(dy, call.outputs, rows, part.outputs, kGradOutputs, left);
    pack_down<Words>(x, call.inputs, rows, part.inputs, kGroupColumns, right);
#if defined(UVIC_AMX)
    if constexpr (kOnTiles<Words>) turn_groups(left, part.outputs, steps, turned);
#endif
    for (int64_t i = 0; i < part.inputs; i += kGroupColumns) {
      const int64_t lanes = group_lanes(part.inputs, i),
                    height = product_height<Words>(lanes / kLanes);
      const Right b{right + i / kGroupColumns * packed_group(kGroupColumns), kLanes, lanes};
      for (int64_t o = 0; o < part.outputs; o += height) {
        const int64_t group = o / kGradOutputs, in_group = o % kGradOutputs;
        const int64_t group_columns =
            smaller(kGradOutputs, rounded_up(part.outputs - group * kGradOutputs, kLanes));
        const int64_t some = smaller(height, part.outputs - o);
        float* tile = dw + o * dw_row + i;
        for (int64_t r = 0; r < some; ++r)
          for (int64_t c = 0; c < lanes; c += 16) __builtin_prefetch(tile + r * dw_row + c, 1);
        Left a{left + group * packed_group(kGradOutputs) + in_group, 1, group_columns};
        if constexpr (kOnTiles<Words>) a = {turned + o * kTurnedRow, kTurnedRow, 1};
        product<Words>(some,
                       lanes / kLanes,
                       steps,
                       a,
                       b,
                       Product{tile, dw_row},
                       /*add=*/row > 0);
      }
    }
  }
  if (!direct)
    for (int64_t o = 0; o < part.outputs; ++o)
      for_each_vector(part.inputs, [&](int64_t i, int64_t n) {
        store_lanes(call.dw + (part.output + o) * call.inputs + part.input + i,
                    load(dw + o * dw_row + i),
                    n);
      });
}

void weight_grad(const WeightGradCall& call, int64_t begin, int64_t end, float* scratch) {
  (call.type == ElementType::bf16
       ? weight_grad_range<Bf16Words, uint16_t>
       : weight_grad_range<SingleWords, float>)(call, begin, end, scratch);
}

}  // namespace uvic::model::UVIC_ISA
