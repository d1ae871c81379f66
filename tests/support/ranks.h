// Processes that are threads here, which meet as those of a job do.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/process_group.h"

namespace uvic::test {

using base::Clock;
using base::ProcessGroup;
using base::ProcessOptions;
using base::ProcessPlace;

/// Of that many ranks, who meet at a free port. Rank 0 listens already, as --processes has it.
inline ProcessPlace place_of(int64_t rank, int64_t size, int listening) {
  ProcessPlace place;
  place.rank = rank;
  place.size = size;
  place.local_rank = rank;
  place.port = base::port_of(listening);
  if (rank == 0) place.listening = listening;
  place.launcher = "test";
  return place;
}

inline std::unique_ptr<ProcessGroup> join(const ProcessPlace& place,
                                          const std::string& version = "1",
                                          double timeout_sec = 20) {
  return std::make_unique<ProcessGroup>(
      place, ProcessOptions{1, timeout_sec}, version, [](auto&) {});
}

inline std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

/// Runs work(rank) on a thread for each rank; what each threw, or "".
inline std::vector<std::string> on_ranks(int64_t size, const std::function<void(int64_t)>& work) {
  std::vector<std::string> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] { errors[rank] = message_of([&] { work(rank); }); });
  for (auto& thread : threads) thread.join();
  return errors;
}

inline double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace uvic::test
