// Threads: LibTorch's own, as at::set_num_threads() set them, and pieces of work side by side on
// them.
#pragma once

#include <cstdint>
#include <functional>

#include "base/torch.h"

namespace uvic::base {

/// The size of the team that OpenMP gives for `wanted` threads, at least 1: OMP_THREAD_LIMIT and
/// OMP_MAX_ACTIVE_LEVELS may make it smaller. LibTorch and the libraries below it wait at barriers
/// for every thread that they ask for: they must be set to this number. From here on the size does
/// not depend on the load of the machine (OMP_DYNAMIC is off).
int64_t openmp_team(int64_t wanted);

/// Calls f(begin, end) for pieces that cover 0 .. count once, each on a thread of its own; `grain`
/// items are worth a thread.
void parallel_ranges(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& f);

/// work(0) ... work(count - 1) on at most `threads` OpenMP threads, each piece on one thread alone:
/// if there are more than one, LibTorch's operators and the libraries below them start no threads
/// of their own inside. Gradient and inference modes are the thread's own: set them inside. The
/// first exception is thrown on, after all have ended.
void side_by_side(int64_t count, int64_t threads, const std::function<void(int64_t)>& work);

/// Rows begin .. end - 1, or what is undefined.
inline torch::Tensor slice_of(const torch::Tensor& t, int64_t begin, int64_t end) {
  return t.defined() ? t.slice(0, begin, end) : t;
}

/// cat(work(begin, end)) over `parts` slices of 0 .. count - 1 that are as equal as can be, side by
/// side on LibTorch's threads.
torch::Tensor in_slices(int64_t count,
                        int64_t parts,
                        const std::function<torch::Tensor(int64_t begin, int64_t end)>& work);

/// One thread for the calling thread's linear algebra, as long as it lives: its bits then don't
/// depend on the number of threads, which the roots of eigenvalues near 0 would blow up to 1e-8.
/// The thousands of small steps of an eigenvalue problem are faster so than with helpers that have
/// to be woken for each: at 2048 dimensions 0.32 s against 0.61 s of two threads.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace uvic::base
