#include "app/bench/profile.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/clock.h"
#include "model/kernels/cpu/kernel_record.h"

namespace uvic::app {
namespace {

using base::Clock;

std::mutex g_mutex;
std::unordered_map<std::string, ProfileRow>* g_rows = nullptr;

/// A running operation, with a link to the operation that called it.
struct Open : at::ObserverContext {
  Clock::time_point start = Clock::now();
  Clock::duration inside{};
  Open* around = nullptr;
};
thread_local Open* t_innermost = nullptr;

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction&) {
  auto open = std::make_unique<Open>();
  open->around = t_innermost;
  t_innermost = open.get();
  return open;
}

void on_end(const at::RecordFunction& function, at::ObserverContext* context) {
  auto* open = static_cast<Open*>(context);
  const auto whole = Clock::now() - open->start;
  t_innermost = open->around;
  if (open->around) open->around->inside += whole;
  const std::lock_guard<std::mutex> lock(g_mutex);
  auto& row = (*g_rows)[function.name()];
  row.seconds += std::chrono::duration<double>(whole - open->inside).count();
  row.calls += 1;
}

void on_kernel(const char* name, const model::KernelWork& work) {
  const std::lock_guard<std::mutex> lock(g_mutex);
  auto& row = (*g_rows)[name];
  row.flops += work.flops;
  row.bytes += work.bytes;
}

}  // namespace

std::vector<ProfileRow> profile(const std::function<void()>& run, int times) {
  run();
  std::unordered_map<std::string, ProfileRow> rows;
  g_rows = &rows;
  model::listen_to_kernels(on_kernel);
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(on_start, on_end));
  const auto start = Clock::now();
  for (int i = 0; i < times; ++i) run();
  const double whole = base::seconds_since(start);
  at::removeCallback(handle);
  model::listen_to_kernels(nullptr);

  std::vector<ProfileRow> sorted;
  double named = 0;
  for (auto& [name, row] : rows) {
    row.name = name;
    named += row.seconds;
    for (auto* number : {&row.seconds, &row.calls, &row.flops, &row.bytes}) *number /= times;
    sorted.push_back(row);
  }
  // With several threads, the sum over the names can exceed the elapsed time.
  if (whole > named) sorted.push_back({"other", (whole - named) / times, 1, 0, 0});
  std::sort(sorted.begin(), sorted.end(), [](const ProfileRow& a, const ProfileRow& b) {
    return a.seconds != b.seconds ? a.seconds > b.seconds : a.name < b.name;
  });
  return sorted;
}

}  // namespace uvic::app
