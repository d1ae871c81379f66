#include "base/thread_loop.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace uvic::base {

void parallel_for(int64_t count, int64_t threads, const std::function<void(int64_t)>& body) {
  if (threads <= 0) threads = std::max(1u, std::thread::hardware_concurrency());
  threads = std::min(threads, count);

  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  int64_t error_at = count;
  const auto work = [&] {
    for (int64_t i; (i = next.fetch_add(1)) < count;) {
      try {
        body(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < error_at) error = std::current_exception(), error_at = i;
        // Every lower i has begun and will end: the lowest failure is always reported.
        next = count;
      }
    }
  };

  std::vector<std::thread> pool;
  for (int64_t t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  for (auto& thread : pool) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace uvic::base
