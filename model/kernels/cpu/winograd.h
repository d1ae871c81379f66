// 3x3 convolutions by Winograd's F(2x2, 3x3): 16 multiplications for 4 results where the definition
// has 36. Included by image_isa_*.cpp only.
//
// Tiles of 4x4 places are taken in chunks. A chunk is transformed into 16 matrices [tiles,
// channels], which stay in the second-level cache. Each is multiplied by its own packed weights,
// kColumns columns at a time, and the products are transformed back. The order of every sum depends
// on nothing but the number of channels.
#pragma once

#include "model/kernels/cpu/image_table.h"
#include "model/kernels/cpu/simd.h"

namespace uvic::model::UVIC_ISA {

constexpr int kFrequencies = 16;
constexpr int kColumns = 2 * kLanes;
constexpr int kTileRows = kRegisters == 32 ? 12 : 6;  // 2 accumulators each, and 3 registers more

static int64_t winograd_columns() { return kColumns; }

/// Tiles of a chunk: a multiple of kTileRows whose transforms take some 1.5 MB.
UVIC_INLINE int64_t chunk_tiles(int64_t channels) {
  constexpr int64_t kFloats = 400000;
  const int64_t fit = kFloats / (kFrequencies * channels) / kTileRows * kTileRows;
  const int64_t most = 8 * kTileRows;
  return fit < kTileRows ? kTileRows : fit > most ? most : fit;
}

UVIC_INLINE int64_t tiles_of(const WinogradCall& call) {
  return ((call.height + 1) / 2) * ((call.width + 1) / 2);
}

static int64_t winograd_pieces(const WinogradCall& call) {
  const int64_t chunk = chunk_tiles(call.channels);
  return (tiles_of(call) + chunk - 1) / chunk;
}

static int64_t winograd_scratch(const WinogradCall& call) {
  const int64_t chunk = chunk_tiles(call.channels);
  return kFrequencies * chunk * (call.channels + kColumns) + call.channels;
}

/// u = G g G^T for each pair of column and channel, at [frequency][group][channel][column].
static void winograd_pack(const float* weight,
                          int64_t columns,
                          int64_t channels,
                          int64_t begin,
                          int64_t end,
                          float* packed) {
  const int64_t groups = columns / kColumns;
  for (int64_t group = begin; group < end; ++group)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t k = 0; k < kColumns; ++k) {
        const float* g = weight + ((group * kColumns + k) * channels + c) * 9;
        double rows[4][3];
        for (int j = 0; j < 3; ++j) {
          const double a = g[j], b = g[3 + j], d = g[6 + j];
          rows[0][j] = a;
          rows[1][j] = (a + b + d) / 2;
          rows[2][j] = (a - b + d) / 2;
          rows[3][j] = d;
        }
        for (int i = 0; i < 4; ++i) {
          const double a = rows[i][0], b = rows[i][1], d = rows[i][2];
          const double u[4] = {a, (a + b + d) / 2, (a - b + d) / 2, d};
          for (int j = 0; j < 4; ++j)
            packed[(((4 * i + j) * groups + group) * channels + c) * kColumns + k] =
                static_cast<float>(u[j]);
        }
      }
}

/// v = B^T d B of one tile, to v + frequency * stride.
UVIC_INLINE void transform_tile(const float* const (&from)[4][4],
                                int64_t channels,
                                int64_t stride,
                                float* v) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    Vec t[4][4];
    for (int j = 0; j < 4; ++j) {
      const Vec d0 = load(from[0][j] + c), d1 = load(from[1][j] + c), d2 = load(from[2][j] + c),
                d3 = load(from[3][j] + c);
      t[0][j] = d0 - d2;
      t[1][j] = d1 + d2;
      t[2][j] = d2 - d1;
      t[3][j] = d1 - d3;
    }
    for (int i = 0; i < 4; ++i) {
      float* to = v + 4 * i * stride + c;
      store(to, t[i][0] - t[i][2]);
      store(to + stride, t[i][1] + t[i][2]);
      store(to + 2 * stride, t[i][2] - t[i][1]);
      store(to + 3 * stride, t[i][1] - t[i][3]);
    }
  }
}

/// The transforms of tiles first .. first + count - 1, and zeros up to `rows`.
UVIC_INLINE void transform_chunk(const WinogradCall& call,
                                 int64_t first,
                                 int64_t count,
                                 int64_t rows,
                                 const float* zeros,
                                 float* v) {
  const int64_t across = (call.width + 1) / 2, channels = call.channels;
  const int64_t source_width = call.width >> call.upsample, stride = rows * channels;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t top = (first + t) / across * 2 - 1, left = (first + t) % across * 2 - 1;
    const float* from[4][4];
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) {
        const int64_t y = top + i, x = left + j;
        from[i][j] =
            y < 0 || y >= call.height || x < 0 || x >= call.width
                ? zeros
                : call.x + ((y >> call.upsample) * source_width + (x >> call.upsample)) * channels;
      }
    transform_tile(from, channels, stride, v + t * channels);
  }
  for (int64_t t = count; t < rows; ++t)
    for (int f = 0; f < kFrequencies; ++f)
      for (int64_t c = 0; c < channels; c += kLanes)
        store(v + f * stride + t * channels + c, Vec{});
}

/// m = v u for kTileRows rows and kColumns columns.
UVIC_INLINE void multiply_rows(const float* v, const float* u, int64_t channels, float* m) {
  Vec sums[kTileRows][2] = {};
  for (int64_t c = 0; c < channels; ++c) {
    const Vec u0 = load(u + c * kColumns), u1 = load(u + c * kColumns + kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      const Vec x = splat(v[r * channels + c]);
      sums[r][0] += x * u0;
      sums[r][1] += x * u1;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    store(m + r * kColumns, sums[r][0]);
    store(m + r * kColumns + kLanes, sums[r][1]);
  }
}

/// y = A^T m A + bias (+ residual) of tiles first .. first + count - 1, columns k .. k + kColumns -
/// 1.
UVIC_INLINE void transform_back(const WinogradCall& call,
                                int64_t first,
                                int64_t count,
                                int64_t rows,
                                int64_t k,
                                const float* m) {
  const int64_t across = (call.width + 1) / 2, stride = rows * kColumns;
  for (int64_t t = 0; t < count; ++t) {
    const int64_t top = (first + t) / across * 2, left = (first + t) % across * 2;
    for (int lane = 0; lane < kColumns; lane += kLanes) {
      const float* from = m + t * kColumns + lane;
      Vec s[2][4];
      for (int j = 0; j < 4; ++j) {
        const Vec m0 = load(from + j * stride), m1 = load(from + (4 + j) * stride),
                  m2 = load(from + (8 + j) * stride), m3 = load(from + (12 + j) * stride);
        s[0][j] = m0 + m1 + m2;
        s[1][j] = m1 - m2 - m3;
      }
      const Vec bias = load(call.bias + k + lane);
      for (int i = 0; i < 2 && top + i < call.height; ++i) {
        const Vec y[2] = {s[i][0] + s[i][1] + s[i][2] + bias, s[i][1] - s[i][2] - s[i][3] + bias};
        for (int j = 0; j < 2 && left + j < call.width; ++j) {
          const int64_t at = ((top + i) * call.width + left + j) * call.columns + k + lane;
          store(call.y + at, call.residual ? y[j] + load(call.residual + at) : y[j]);
        }
      }
    }
  }
}

static void winograd(const WinogradCall& call, int64_t begin, int64_t end, float* scratch) {
  const int64_t chunk = chunk_tiles(call.channels), tiles = tiles_of(call);
  const int64_t channels = call.channels, groups = call.columns / kColumns;
  float* v = scratch;
  float* m = v + kFrequencies * chunk * channels;
  float* zeros = m + kFrequencies * chunk * kColumns;
  for (int64_t c = 0; c < channels; ++c) zeros[c] = 0;
  for (int64_t piece = begin; piece < end; ++piece) {
    const int64_t first = piece * chunk;
    const int64_t count = tiles - first < chunk ? tiles - first : chunk;
    const int64_t rows = (count + kTileRows - 1) / kTileRows * kTileRows;
    transform_chunk(call, first, count, rows, zeros, v);
    for (int64_t group = 0; group < groups; ++group) {
      for (int f = 0; f < kFrequencies; ++f) {
        const float* u = call.weight + (f * groups + group) * channels * kColumns;
        for (int64_t r = 0; r < rows; r += kTileRows)
          multiply_rows(v + (f * rows + r) * channels, u, channels, m + (f * rows + r) * kColumns);
      }
      transform_back(call, first, count, rows, group * kColumns, m);
    }
  }
}

}  // namespace uvic::model::UVIC_ISA
