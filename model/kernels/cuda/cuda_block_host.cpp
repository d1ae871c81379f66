#include "model/kernels/cuda/cuda_block.cuh"

#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace uvic::model::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kStackBytes = 256 * 1024;
constexpr int kCollectives = 8;

[[noreturn]] void fail(const std::string& what) { throw EmulationError("cuda emulation: " + what); }

// ---- fibers: a stack and the saved registers ---------------------------------------------------

// A swap of ucontexts calls the kernel for the signal mask. A block needs millions of swaps, so on
// x86-64 without sanitizers only the registers that a call preserves are swapped.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define UVIC_FAST_FIBERS 1
asm(R"(
.text
.p2align 4
.type uvic_switch_fiber, @function
uvic_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size uvic_switch_fiber, .-uvic_switch_fiber
)");
extern "C" void uvic_switch_fiber(void** save, void* to);
#endif

struct Fiber {
#if defined(UVIC_FAST_FIBERS)
  void* stack_pointer = nullptr;
#else
  ucontext_t context = {};
#endif
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
#endif
  std::unique_ptr<char[]> stack;
};

// ---- a block ------------------------------------------------------------------------------------

enum class Collective : int { none, shuffle, load, load_transposed, mma_bf16, mma_fp16, sync_warp };

struct LaneInput {
  uint32_t words[10];
  float c[4];
};
struct LaneOutput {
  uint32_t words[4];
  float c[4];
};

struct Warp {
  LaneInput in[kWarp];
  LaneOutput out[kWarp];
  Collective kind = Collective::none;
  int arrived = 0;
  uint64_t generation = 0;  ///< collectives done
  uint64_t syncs = 1;       ///< barriers that order the memory of this warp's lanes
};

struct Copy {
  uint32_t at;
  const void* global;
  bool wanted;
};

struct Thread {
  Fiber fiber;
  bool done = false;
  bool at_barrier = false;
  int barrier_of = 0;      ///< threads that the barrier waits for; 0: all of the block
  std::vector<Copy> open;  ///< copies of the group that is not closed yet
  std::deque<std::vector<Copy>> groups;  ///< closed groups that are unfinished
};

/// The last accesses to a word of shared memory.
struct WordHistory {
  uint64_t write_epoch = 0, write_sync = 0;  ///< barriers of the block and of the writer's warp
  uint64_t read_epoch = 0, read_sync = 0;
  int writer = -1;
  uint32_t reading_warps = 0;  ///< in read_epoch
  uint32_t reading_lanes = 0;  ///< of the last warp that read, in read_sync
  int reading_warp = -1;
  int pending = -1;  ///< thread with an unfinished copy into this word; -1: none
  bool written = false;
};

struct Block {
  std::vector<unsigned char> shared;
  std::vector<WordHistory> history;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Fiber scheduler;
  const std::function<void()>* kernel = nullptr;
  BlockIndex index{};
  uint64_t epoch = 1;
  int current = 0;
  std::exception_ptr error;
};

Block* block = nullptr;
ThreadOrder thread_order = ThreadOrder::forward;
std::mt19937_64 random_order;
EmulationReport report;

#if defined(__SANITIZE_ADDRESS__)
const void* main_bottom = nullptr;  // the stack of the scheduler, set by the first fiber
size_t main_size = 0;
#endif

void switch_fiber(Fiber& from, Fiber& to, bool last_time = false) {
#if defined(__SANITIZE_ADDRESS__)
  const bool to_scheduler = !to.stack;
  __sanitizer_start_switch_fiber(last_time ? nullptr : &from.fake_stack,
                                 to_scheduler ? main_bottom : to.stack.get(),
                                 to_scheduler ? main_size : kStackBytes);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#elif defined(UVIC_FAST_FIBERS)
  (void)last_time;
  uvic_switch_fiber(&from.stack_pointer, to.stack_pointer);
#else
  (void)last_time;
  swapcontext(&from.context, &to.context);
#endif
}

Thread& self() { return block->threads[block->current]; }
Warp& own_warp() { return block->warps[block->current / kWarp]; }
int own_lane() { return block->current % kWarp; }

void yield() { switch_fiber(self().fiber, block->scheduler); }

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &main_bottom, &main_size);
#endif
  try {
    (*block->kernel)();
    if (!self().open.empty() || !self().groups.empty()) {
      for (const auto& group : self().groups)
        if (!group.empty()) fail("a thread ends while copies are under way");
      if (!self().open.empty()) fail("a thread ends with copies in no group");
    }
  } catch (...) {
    if (!block->error) block->error = std::current_exception();
  }
  self().done = true;
  switch_fiber(self().fiber, block->scheduler, /*last_time=*/true);
  std::abort();  // a finished thread never continues
}

void prepare(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
#if defined(UVIC_FAST_FIBERS)
  auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStackBytes) & ~uintptr_t{15};
  auto* frame = reinterpret_cast<void**>(top) - 8;  // at entry rsp is 8 below a multiple of 16
  std::fill(frame, frame + 8, nullptr);
  frame[6] = reinterpret_cast<void*>(&fiber_main);
  fiber.stack_pointer = frame;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
#endif
}

// ---- shared memory ------------------------------------------------------------------------------

std::string place(uint32_t at) {
  return "byte " + std::to_string(at) + " of shared memory by thread " +
         std::to_string(block->current) + " of block " + std::to_string(block->index.x) + " " +
         std::to_string(block->index.y) + " " + std::to_string(block->index.z);
}

void check_range(uint32_t at, uint32_t bytes) {
  if (at + uint64_t{bytes} > block->shared.size())
    fail(place(at) + ": only " + std::to_string(block->shared.size()) + " bytes were asked for");
  if (at % bytes != 0) fail(place(at) + ": not aligned to " + std::to_string(bytes));
  report.largest_shared_bytes = std::max<int64_t>(report.largest_shared_bytes, at + bytes);
}

void note_read(uint32_t at, uint32_t bytes) {
  check_range(at, bytes);
  const int warp = block->current / kWarp, lane = own_lane();
  for (uint32_t word = at / 4; word < (at + bytes) / 4; ++word) {
    WordHistory& h = block->history[word];
    if (h.pending >= 0) fail(place(word * 4) + ": read while a copy into it is under way");
    if (!h.written) fail(place(word * 4) + ": read before anything was written");
    if (h.write_epoch == block->epoch && h.writer != block->current) {
      if (h.writer / kWarp != warp)
        fail(place(word * 4) + ": another warp wrote it, no barrier since");
      if (h.write_sync == own_warp().syncs)
        fail(place(word * 4) + ": another lane wrote it, no warp barrier since");
    }
    if (h.read_epoch != block->epoch) h.reading_warps = 0;
    h.read_epoch = block->epoch;
    h.reading_warps |= 1u << warp;
    if (h.reading_warp != warp || h.read_sync != own_warp().syncs) h.reading_lanes = 0;
    h.reading_warp = warp;
    h.read_sync = own_warp().syncs;
    h.reading_lanes |= 1u << lane;
  }
}

void note_write(uint32_t at, uint32_t bytes, bool lands) {
  check_range(at, bytes);
  const int warp = block->current / kWarp, lane = own_lane();
  for (uint32_t word = at / 4; word < (at + bytes) / 4; ++word) {
    WordHistory& h = block->history[word];
    if (h.pending >= 0 && !(lands && h.pending == block->current))
      fail(place(word * 4) + ": written while a copy into it is under way");
    if (h.read_epoch == block->epoch) {
      if (h.reading_warps & ~(1u << warp))
        fail(place(word * 4) + ": overwritten, another warp read it and no barrier since");
      if (h.read_sync == own_warp().syncs && h.reading_warp == warp &&
          (h.reading_lanes & ~(1u << lane)))
        fail(place(word * 4) + ": overwritten, another lane read it and no warp barrier since");
    }
    if (h.write_epoch == block->epoch && h.writer != block->current &&
        (h.writer / kWarp != warp || h.write_sync == own_warp().syncs))
      fail(place(word * 4) + ": two threads write it, no barrier between");
    h.written = true;
    h.writer = block->current;
    h.write_epoch = block->epoch;
    h.write_sync = own_warp().syncs;
  }
}

void land(const std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    note_write(copy.at, 16, /*lands=*/true);
    for (uint32_t word = copy.at / 4; word < copy.at / 4 + 4; ++word)
      block->history[word].pending = -1;
    if (copy.wanted)
      memcpy(block->shared.data() + copy.at, copy.global, 16);
    else
      memset(block->shared.data() + copy.at, 0, 16);
  }
}

// ---- warp-wide operations -----------------------------------------------------------------------

void shuffle(Warp& warp) {
  for (int lane = 0; lane < kWarp; ++lane)
    warp.out[lane].words[0] = warp.in[lane ^ warp.in[lane].words[1]].words[0];
}

void load(Warp& warp, bool transposed) {
  ++report.matrix_loads;
  uint16_t rows[kWarp][8];
  bool conflict = false;
  const int first = block->current / kWarp * kWarp, caller = block->current;
  for (int lane = 0; lane < kWarp; ++lane) {
    block->current = first + lane;
    note_read(warp.in[lane].words[0], 16);
    memcpy(rows[lane], block->shared.data() + warp.in[lane].words[0], 16);
  }
  block->current = caller;
  for (int matrix = 0; matrix < 4; ++matrix) {
    uint32_t banks = 0;
    for (int row = 0; row < 8; ++row) {
      const uint32_t bank = 1u << warp.in[matrix * 8 + row].words[0] / 16 % 8;
      conflict = conflict || (banks & bank);
      banks |= bank;
    }
    for (int lane = 0; lane < kWarp; ++lane) {
      const int a = lane / 4, b = lane % 4 * 2;
      const uint16_t low = transposed ? rows[matrix * 8 + b][a] : rows[matrix * 8 + a][b];
      const uint16_t high = transposed ? rows[matrix * 8 + b + 1][a] : rows[matrix * 8 + a][b + 1];
      warp.out[lane].words[matrix] = low | uint32_t{high} << 16;
    }
  }
  report.conflicting_loads += conflict;
}

template <class T>
void multiply_add_warp(Warp& warp) {
  ++report.multiply_adds;
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4 * 2;
    const uint32_t* in = warp.in[lane].words;
    for (int i = 0; i < 4; ++i) {
      const int row = g + i % 2 * 8, column = t + i / 2 * 8;
      a[row][column] = T::low(in[i]);
      a[row][column + 1] = T::high(in[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[t + i * 8][g] = T::low(in[4 + i]);
      b[t + i * 8 + 1][g] = T::high(in[4 + i]);
    }
  }
  float c[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4 * 2;
    for (int i = 0; i < 4; ++i)
      warp.out[lane].c[i] = warp.in[lane].c[i] + c[g + i / 2 * 8][t + i % 2];
  }
}

/// All 32 lanes provide their input; the last one computes the results of all.
const LaneOutput& collective(Collective kind, const LaneInput& in) {
  Warp& warp = own_warp();
  if (warp.arrived > 0 && warp.kind != kind)
    fail("lanes of one warp are at different warp-wide operations; " + place(0));
  warp.kind = kind;
  warp.in[own_lane()] = in;
  const int lane = own_lane();
  if (++warp.arrived < kWarp) {
    const uint64_t generation = warp.generation;
    while (warp.generation == generation) yield();
    return warp.out[lane];
  }
  switch (kind) {
    case Collective::shuffle:
      shuffle(warp);
      break;
    case Collective::load:
    case Collective::load_transposed:
      load(warp, kind == Collective::load_transposed);
      break;
    case Collective::mma_bf16:
      multiply_add_warp<Bf16>(warp);
      break;
    case Collective::mma_fp16:
      multiply_add_warp<Fp16>(warp);
      break;
    case Collective::sync_warp:
      ++warp.syncs;
      break;
    case Collective::none:
      break;
  }
  warp.arrived = 0;
  ++warp.generation;
  return warp.out[lane];
}

void load_into(Collective kind, uint32_t (&r)[4], uint32_t at) {
  LaneInput in = {};
  in.words[0] = at;
  const LaneOutput& out = collective(kind, in);
  std::copy(out.words, out.words + 4, r);
}

void multiply_add_into(
    Collective kind, float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  LaneInput in = {};
  std::copy(a, a + 4, in.words);
  in.words[4] = b0, in.words[5] = b1;
  std::copy(c, c + 4, in.c);
  const LaneOutput& out = collective(kind, in);
  std::copy(out.c, out.c + 4, c);
}

// ---- the scheduler ------------------------------------------------------------------------------

bool runnable(const Thread& thread) { return !thread.done && !thread.at_barrier; }

/// Runs each lane of a warp until it waits. Returns whether any lane ran.
bool run_warp_once(int warp, const std::vector<int>& lanes) {
  bool ran = false;
  for (const int lane : lanes) {
    Thread& thread = block->threads[warp * kWarp + lane];
    if (!runnable(thread)) continue;
    block->current = warp * kWarp + lane;
    switch_fiber(block->scheduler, thread.fiber);
    if (block->error) return false;
    ran = true;
  }
  return ran;
}

uint64_t progress_of(const Block& b) {
  uint64_t sum = b.epoch;
  for (const auto& warp : b.warps) sum += warp.generation;
  for (const auto& thread : b.threads) sum += thread.done + thread.at_barrier;
  return sum;
}

void run_block(int threads) {
  const int warps = threads / kWarp;
  std::vector<int> lanes(kWarp), order(warps);
  for (int i = 0; i < kWarp; ++i) lanes[i] = i;
  for (int i = 0; i < warps; ++i) order[i] = i;
  if (thread_order == ThreadOrder::reverse) {
    std::reverse(lanes.begin(), lanes.end());
    std::reverse(order.begin(), order.end());
  }
  for (;;) {
    // Forward and reverse order: each warp runs to the barrier alone, the largest possible lead.
    if (thread_order == ThreadOrder::interleaved) {
      std::vector<int> open = order;
      std::shuffle(lanes.begin(), lanes.end(), random_order);
      while (!open.empty() && !block->error) {
        const size_t pick = random_order() % open.size();
        const uint64_t before = progress_of(*block);
        const bool ran = run_warp_once(open[pick], lanes);
        if (!ran) {
          open.erase(open.begin() + pick);
        } else if (progress_of(*block) == before) {
          const bool stuck = !run_warp_once(open[pick], lanes) || progress_of(*block) == before;
          if (stuck && !block->error)
            fail("a warp waits for lanes that do not come: diverged warp-wide operation");
        }
      }
    } else {
      for (const int warp : order)
        for (uint64_t before = progress_of(*block); run_warp_once(warp, lanes) && !block->error;
             before = progress_of(*block))
          if (progress_of(*block) == before)
            fail("a warp waits for lanes that do not come: diverged warp-wide operation");
    }
    if (block->error) std::rethrow_exception(block->error);
    const auto done = std::count_if(
        block->threads.begin(), block->threads.end(), [](const Thread& t) { return t.done; });
    if (done == threads) return;
    if (done > 0) fail("some threads ended, others wait at a barrier");
    ++block->epoch;
    for (auto& warp : block->warps) ++warp.syncs;
    for (auto& thread : block->threads) thread.at_barrier = false;
  }
}

}  // namespace

void set_thread_order(ThreadOrder order, uint64_t seed) {
  thread_order = order;
  random_order.seed(seed);
}
EmulationReport emulation_report() { return report; }
void reset_emulation_report() { report = {}; }

int thread_index() { return block->current; }
BlockIndex block_index() { return block->index; }

void sync_threads() {
  self().at_barrier = true;
  yield();
}
void sync_warp() { collective(Collective::sync_warp, {}); }

float shuffle_xor(float x, int mask) {
  LaneInput in = {};
  in.words[0] = bits_of(x);
  in.words[1] = static_cast<uint32_t>(mask);
  return float_of(collective(Collective::shuffle, in).words[0]);
}

void copy_async(uint32_t at, const void* global, bool wanted) {
  note_write(at, 16, /*lands=*/false);
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0)
    fail("asynchronous copy from an address that is not a multiple of 16");
  for (uint32_t word = at / 4; word < at / 4 + 4; ++word) {
    if (block->history[word].pending >= 0) fail(place(at) + ": two copies into it under way");
    block->history[word].pending = block->current;
  }
  memset(block->shared.data() + at, 0xff, 16);
  report.copies += wanted;
  self().open.push_back({at, global, wanted});
}
void commit_copies() {
  self().groups.push_back(std::move(self().open));
  self().open.clear();
}
void wait_copies_until(int groups) {
  auto& waiting = self().groups;
  while (static_cast<int>(waiting.size()) > groups) {
    land(waiting.front());
    waiting.pop_front();
  }
}

void load_matrices(uint32_t (&r)[4], uint32_t at) { load_into(Collective::load, r, at); }
void load_matrices_transposed(uint32_t (&r)[4], uint32_t at) {
  load_into(Collective::load_transposed, r, at);
}
void multiply_add_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply_add_into(Collective::mma_bf16, c, a, b0, b1);
}
void multiply_add_fp16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply_add_into(Collective::mma_fp16, c, a, b0, b1);
}

void read_shared(uint32_t at, void* to, uint32_t bytes) {
  note_read(at, bytes);
  memcpy(to, block->shared.data() + at, bytes);
}
void write_shared(uint32_t at, const void* from, uint32_t bytes) {
  note_write(at, bytes, /*lands=*/false);
  memcpy(block->shared.data() + at, from, bytes);
}

void run_grid(const std::function<void()>& kernel, Grid grid, int threads, int shared) {
  if (threads % kWarp != 0 || threads > 1024)
    fail("a block of " + std::to_string(threads) + " threads");
  if (shared > 99 * 1024)
    fail("a block of " + std::to_string(shared) + " bytes; GPUs of capability 8.6 have 99 KiB");
  if (grid.y > 65535 || grid.z > 65535) fail("a grid of more than 65535 blocks in y or z");
  Block run;
  run.kernel = &kernel;
  run.threads.resize(threads);
  Block* const outer = block;
  block = &run;
  try {
    for (int64_t z = 0; z < grid.z; ++z)
      for (int64_t y = 0; y < grid.y; ++y)
        for (int64_t x = 0; x < grid.x; ++x) {
          run.index = {static_cast<int>(x), static_cast<int>(y), static_cast<int>(z)};
          run.shared.assign(shared, 0xff);
          run.history.assign((shared + 3) / 4, {});
          run.warps.assign(threads / kWarp, {});
          run.epoch = 1;
          for (auto& thread : run.threads) {
            thread.done = thread.at_barrier = false;
            thread.open.clear();
            thread.groups.clear();
            prepare(thread.fiber);
          }
          ++report.blocks;
          run_block(threads);
        }
  } catch (...) {
    block = outer;
    throw;
  }
  block = outer;
}

}  // namespace uvic::model::cuda
