// The emulation itself: it must refuse what a GPU would do wrong in silence.
#include "model/kernels/cuda/cuda_block.cuh"

#include <string>
#include <vector>

#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

alignas(16) const float kSource[4] = {1, 2, 3, 4};

template <class Body>
std::string error_of(const Body& body, int threads = 64, int shared = 4096) {
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::interleaved}) {
    set_thread_order(order, 1);
    try {
      run_grid(body, Grid{1, 1, 1}, threads, shared);
    } catch (const EmulationError& error) {
      set_thread_order(ThreadOrder::forward);
      return error.what();
    }
  }
  set_thread_order(ThreadOrder::forward);
  return "";
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  CHECK(text.find(part) != std::string::npos);
  return true;
}

TEST_CASE("cuda emulation: a missing barrier is found whatever the order of threads") {
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::interleaved}) {
    set_thread_order(order, 1);
    const auto neighbours = [](bool barrier) {
      return [barrier] {
        shared_store<float>(thread_index() * 4, 1.f);
        if (barrier) sync_threads();
        shared_load<float>((thread_index() + 32) % 64 * 4);
      };
    };
    CHECK_NOTHROW(run_grid(neighbours(true), Grid{1, 1, 1}, 64, 256));
    CHECK_THROWS_AS(run_grid(neighbours(false), Grid{1, 1, 1}, 64, 256), EmulationError);
  }
  set_thread_order(ThreadOrder::forward);
  says(error_of([] {  // read, then overwritten by another warp
         shared_store<float>(thread_index() * 4, 1.f);
         sync_threads();
         shared_load<float>((thread_index() + 32) % 64 * 4);
         shared_store<float>(thread_index() * 4, 2.f);
       }),
       "no barrier");
  says(error_of([] {
         shared_store<float>(thread_index() * 4, 1.f);
         sync_threads();
         shared_store<float>(thread_index() * 4, 2.f);
         shared_load<float>((thread_index() ^ 1) * 4);
       }),
       "no warp barrier");
}

TEST_CASE("cuda emulation: an asynchronous copy has landed only after its wait") {
  const auto copy = [](bool wait) {
    return [wait] {
      copy_async(thread_index() * 16, kSource, true);
      commit_copies();
      if (wait) wait_copies<0>();
      shared_load<float>(thread_index() * 16);
      wait_copies<0>();
    };
  };
  CHECK(error_of(copy(true)).empty());
  says(error_of(copy(false)), "under way");
  says(error_of([] {  // a second group leaves the first one landed, not itself
         copy_async(thread_index() * 16, kSource, true);
         commit_copies();
         copy_async(2048 + thread_index() * 16, kSource, true);
         commit_copies();
         wait_copies<1>();
         shared_load<float>(thread_index() * 16);
         shared_load<float>(2048 + thread_index() * 16);
       }),
       "byte 2048");
}

TEST_CASE("cuda emulation: shared memory out of bounds, misaligned or never written") {
  says(error_of([] { shared_store<float>(4096, 1.f); }, 32), "4096");
  says(error_of([] { shared_store<Four>(8, {}); }, 32), "not aligned");
  says(error_of([] { shared_load<float>(0); }, 32), "before anything was written");
}

TEST_CASE("cuda emulation: lanes that part at a warp-wide operation, threads that miss a barrier") {
  says(error_of(
           [] {
             if (thread_index() < 16) sync_warp();
           },
           32),
       "diverged");
  says(error_of(
           [] {
             if (thread_index() < 16)
               sync_warp();
             else
               shuffle_xor(1, 1);
           },
           32),
       "different warp-wide operations");
  says(error_of([] {
         if (thread_index() < 32) sync_threads();
       }),
       "others wait at a barrier");
}

TEST_CASE("cuda emulation: matrix loads with rows in the same banks are counted") {
  for (const int row_bytes : {128, 144}) {
    reset_emulation_report();
    run_grid(
        [&] {
          for (int i = thread_index(); i < 16 * 144 / 16; i += 32) shared_store<Four>(i * 16, {});
          sync_warp();
          uint32_t r[4];
          load_matrices(r, thread_index() % 16 * row_bytes + thread_index() / 16 * 16);
        },
        Grid{1, 1, 1},
        32,
        16 * 144);
    CHECK(emulation_report().conflicting_loads == (row_bytes == 128 ? 1 : 0));
  }
}

TEST_CASE("cuda emulation: fragments have the layout of the PTX manual") {
  // a[r][k] = 16 r + k, b = identity on the first 8 inner indices: c[r][n] = a[r][n].
  std::vector<float> seen(16 * 8, -1);
  run_grid(
      [&] {
        const int lane = thread_index();
        for (int i = 0; i < 8; ++i) {
          const int at = lane * 8 + i;  // 256 elements [16][16]
          if (i % 2 == 0)
            shared_store<uint32_t>(at * 2,
                                   Bf16::pack(static_cast<float>(at), static_cast<float>(at + 1)));
        }
        sync_warp();
        uint32_t a[4];
        load_matrices(a, lane % 16 * 32 + lane / 16 * 16);
        const int g = lane / 4, t = lane % 4 * 2;
        float c[4] = {};
        multiply_add<Bf16>(c, a, Bf16::pack(t == g, t + 1 == g), 0);
        for (int i = 0; i < 4; ++i) seen[(g + i / 2 * 8) * 8 + t + i % 2] = c[i];
      },
      Grid{1, 1, 1},
      32,
      512);
  for (int r = 0; r < 16; ++r)
    for (int n = 0; n < 8; ++n) CHECK(seen[r * 8 + n] == 16 * r + n);
}

}  // namespace
}  // namespace uvic::model::cuda
