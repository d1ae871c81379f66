#include "base/process_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/process.h"
#include "base/text_format.h"

namespace uvic::base {
namespace {

// How long the reason may take to arrive once the connection to another process has broken.
constexpr double kReason_sec = 5;

torch::Tensor bytes_of(const std::string& text, int64_t size) {
  auto bytes = torch::zeros({std::max<int64_t>(1, size)}, torch::kUInt8);
  std::memcpy(bytes.data_ptr(), text.data(), text.size());
  return bytes;
}

// Destroying a connection joins threads that may wait for a lost process: it is held to the end.
void keep_to_the_end(std::initializer_list<std::shared_ptr<void>> connections) {
  static auto* const kept = new std::vector<std::shared_ptr<void>>;
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  kept->insert(kept->end(), connections);
}

std::string text_of(const torch::Tensor& bytes, int64_t size) {
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(size)};
}

/// Values may be long: at most so many letters from the first that differs.
std::string shortened(const std::string& text, size_t from) {
  constexpr size_t kMost = 60, kBefore = 10;
  const auto begin = from > kBefore ? from - kBefore : 0;
  return fmt::format("{}{}{}",
                     begin > 0 ? "..." : "",
                     text.substr(std::min(begin, text.size()), kMost),
                     text.size() > begin + kMost ? "..." : "");
}

size_t first_difference(const std::string& a, const std::string& b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

/// What one process exchanges with itself.
class OfOneProcess : public Collectives {
 public:
  void sum(torch::Tensor, Done done) override { done(""); }
  void broadcast(torch::Tensor, int64_t, Done done) override { done(""); }
  void gather(torch::Tensor own, torch::Tensor all, Done done) override {
    all[0].copy_(own);
    done("");
  }
  void exchange(torch::Tensor to_all, torch::Tensor from_all, Done done) override {
    from_all.copy_(to_all);
    done("");
  }
};

/// The process ends anyway; where this fails, it ends without the GPU.
void abort_quietly(DeviceCollectives& devices) {
  try {
    devices.abort();
  } catch (const std::exception&) {
    // Why the job ends is the monitor's to say.
  }
}

std::unique_ptr<ProcessGroup>& own_group() {
  // Never destroyed by exit(): threads of the library may still wait.
  static auto* const group = new std::unique_ptr<ProcessGroup>;
  return *group;
}

}  // namespace

ProcessGroup::ProcessGroup(const ProcessPlace& place,
                           const ProcessOptions& options,
                           const std::string& version,
                           std::function<void(const std::string&)> end)
    : place_(place), timeout_sec_(options.timeout_sec) {
  MeetingOptions meeting_options;
  meeting_options.timeout_sec = options.timeout_sec;
  meeting_options.version = version;
  if (is_first() && size() > 1) {
    store_ = open_address_store();
    meeting_options.store_port = store_->port();
  }
  auto meeting = meet(place_, meeting_options);
  sharing_ = meeting.sharing;
  host_ = meeting.host, machine_ = meeting.machine;
  store_host_ = meeting.store_host, store_port_ = meeting.store_port;
  const auto address = meeting.own_address;
  monitor_ = std::make_shared<ProcessMonitor>(
      std::move(meeting), place_, options.timeout_sec, std::move(end));
  monitor_->begin_wait(++waits_);
  try {
    if (size() == 1)
      collectives_ = std::make_unique<OfOneProcess>();
    else
      collectives_ = connect_collectives(place_, store_host_, store_port_, address, timeout_sec_);
  } catch (const std::exception& e) {
    monitor_->wait_for(kReason_sec, [] { return false; });
    if (const auto verdict = monitor_->verdict()) throw ProcessLost(*verdict);
    monitor_->fail(e.what());
    throw;
  }
  monitor_->end_wait();
}

ProcessGroup::~ProcessGroup() {
  monitor_->on_verdict({});
  if (failed_) keep_to_the_end({std::shared_ptr<Collectives>(std::move(collectives_)), devices_});
}

GpuView ProcessGroup::gpu_view() const {
  return {host_, machine_, place_.local_rank, visible_gpus()};
}

void ProcessGroup::connect_gpu(torch::Device device) {
  monitor_->begin_wait(++waits_);
  try {
    connect_gpu(connect_device_collectives(place_, store_host_, store_port_, device, timeout_sec_));
  } catch (const std::exception& e) {
    throw_failed(e.what());
  }
  monitor_->end_wait();
}

void ProcessGroup::connect_gpu(std::shared_ptr<DeviceCollectives> devices) {
  devices_ = std::move(devices);
  monitor_->on_verdict([aborted = std::weak_ptr<DeviceCollectives>(devices_)] {
    // The GPU may wait for the process that is gone, and the host for the GPU.
    if (const auto held = aborted.lock()) std::thread([held] { abort_quietly(*held); }).detach();
  });
}

void ProcessGroup::throw_if_lost() {
  if (const auto verdict = monitor_->verdict()) {
    failed_ = true;
    throw ProcessLost(*verdict);
  }
}

void ProcessGroup::check_gpu() {
  if (!devices_) return;
  try {
    devices_->synchronize();
  } catch (const std::exception&) {
    failed_ = true;
    // Of this GPU, or of a communicator whose other end is gone: the monitor will know in a moment.
    if (size() > 1)
      monitor_->wait_for(std::min(kReason_sec, timeout_sec_ / 4), [] { return false; });
    throw_if_lost();
    throw;
  }
  throw_if_lost();
}

std::string ProcessGroup::name() const { return fmt::format("rank {} of {}", rank(), size()); }

int64_t ProcessGroup::threads() const { return std::max<int64_t>(1, usable_cores() / sharing_); }

std::pair<int64_t, int64_t> ProcessGroup::part_of(int64_t count) const {
  return {count * rank() / size(), count * (rank() + 1) / size()};
}

std::shared_ptr<PendingExchange> ProcessGroup::begin(const std::function<void(Done)>& call) {
  auto pending = std::make_shared<PendingExchange>();
  try {
    // After a failure the library's threads are left behind (see the destructor), and may end their
    // work when this group is gone.
    call([pending, watching = std::weak_ptr<ProcessMonitor>(monitor_)](const std::string& error) {
      const auto monitor = watching.lock();
      if (!monitor) return;
      monitor->update([&] {
        pending->error = error;
        pending->done = true;
      });
    });
  } catch (const std::exception& e) {
    pending->error = first_line(e.what());
    pending->done = true;
  }
  return pending;
}

std::shared_ptr<PendingExchange> ProcessGroup::begin_on_gpu(const std::function<Join()>& call) {
  auto pending = std::make_shared<PendingExchange>();
  try {
    pending->join = call();
  } catch (const std::exception& e) {
    pending->error = first_line(e.what());
  }
  pending->done = true;
  return pending;
}

template <class OnCpu, class OnGpu>
std::shared_ptr<PendingExchange> ProcessGroup::begin(const torch::Tensor& tensor,
                                                     torch::Tensor result,
                                                     OnCpu&& on_cpu,
                                                     OnGpu&& on_gpu) {
  const bool is_here = is_on_gpu(tensor);
  TORCH_INTERNAL_ASSERT(is_here || tensor.is_cpu(), "no exchange for tensors of this device");
  auto pending = is_here ? begin_on_gpu(on_gpu) : begin(on_cpu);
  pending->tensor = std::move(result);
  return pending;
}

std::shared_ptr<PendingExchange> ProcessGroup::start_sum(torch::Tensor tensor) {
  summed_bytes_ += static_cast<int64_t>(tensor.nbytes());
  return begin(
      tensor,
      tensor,
      [&](Done done) { collectives_->sum(tensor, std::move(done)); },
      [&] { return devices_->sum(tensor); });
}

std::shared_ptr<PendingExchange> ProcessGroup::start_broadcast(torch::Tensor tensor, int64_t from) {
  return begin(
      tensor,
      tensor,
      [&](Done done) { collectives_->broadcast(tensor, from, std::move(done)); },
      [&] { return devices_->broadcast(tensor, from); });
}

std::shared_ptr<PendingExchange> ProcessGroup::start_gather(torch::Tensor own) {
  auto shape = own.sizes().vec();
  shape.insert(shape.begin(), size());
  const auto all = torch::empty(shape, own.options());
  return begin(
      own,
      all,
      [&](Done done) { collectives_->gather(own, all, std::move(done)); },
      [&] { return devices_->gather(own, all); });
}

std::shared_ptr<PendingExchange> ProcessGroup::start_exchange(torch::Tensor to_all) {
  summed_bytes_ += static_cast<int64_t>(to_all.nbytes());
  const auto from_all = torch::empty_like(to_all);
  return begin(
      to_all,
      from_all,
      [&](Done done) { collectives_->exchange(to_all, from_all, std::move(done)); },
      [&] { return devices_->exchange(to_all, from_all); });
}

void ProcessGroup::throw_failed(const std::string& error) {
  monitor_->end_wait();
  failed_ = true;
  // The connection broke. Why, the monitor knows, or will in a moment.
  monitor_->wait_for(std::min(kReason_sec, timeout_sec_ / 4), [] { return false; });
  const auto verdict = monitor_->verdict();
  if (verdict) throw ProcessLost(*verdict);
  throw std::runtime_error("the exchange with the other processes failed: " + error);
}

void ProcessGroup::wait(PendingExchange& pending) {
  if (pending.join) {
    throw_if_lost();
    try {
      return pending.join();
    } catch (const std::exception& e) {
      throw_failed(first_line(e.what()));
    }
  }
  monitor_->begin_wait(++waits_);
  const bool done = monitor_->wait([&] { return pending.done; });
  monitor_->end_wait();
  if (done && pending.error.empty()) return;
  throw_failed(pending.error);
}

void ProcessGroup::sum(const torch::Tensor& tensor) { wait(*start_sum(tensor)); }

void ProcessGroup::broadcast(const torch::Tensor& tensor, int64_t from) {
  wait(*start_broadcast(tensor, from));
}

std::string ProcessGroup::broadcast(const std::string& text) {
  const auto size = torch::full({1}, static_cast<int64_t>(text.size()), torch::kInt64);
  broadcast(size);
  const int64_t length = size.item<int64_t>();
  const auto bytes = bytes_of(is_first() ? text : "", length);
  broadcast(bytes);
  return text_of(bytes, length);
}

torch::Tensor ProcessGroup::gather(const torch::Tensor& own) {
  const auto pending = start_gather(own.contiguous());
  wait(*pending);
  return pending->tensor;
}

std::vector<std::string> ProcessGroup::gather(const std::string& own) {
  const auto sizes = gather(torch::full({1}, static_cast<int64_t>(own.size()), torch::kInt64));
  const auto texts = gather(bytes_of(own, sizes.max().item<int64_t>()));
  std::vector<std::string> all;
  for (int64_t r = 0; r < size(); ++r)
    all.push_back(text_of(texts[r], sizes[r][0].item<int64_t>()));
  return all;
}

torch::Tensor ProcessGroup::gather_rows(const torch::Tensor& own) {
  const auto counts = gather(torch::full({1}, own.size(0), torch::kInt64));
  auto shape = own.sizes().vec();
  shape[0] = std::max<int64_t>(1, counts.max().item<int64_t>());
  const auto padded = torch::zeros(shape, own.options());
  if (own.size(0) > 0) padded.slice(0, 0, own.size(0)).copy_(own);
  const auto all = gather(padded);
  std::vector<torch::Tensor> rows;
  for (int64_t r = 0; r < size(); ++r)
    rows.push_back(all[r].slice(0, 0, counts[r][0].item<int64_t>()));
  return torch::cat(rows);
}

bool ProcessGroup::any(bool holds) {
  return gather(torch::full({1}, holds ? 1 : 0, torch::kInt64)).sum().item<int64_t>() > 0;
}

void ProcessGroup::throw_if_stopped() {
  const auto signals = gather(torch::full({1}, stop_requested(), torch::kInt64));
  const auto signal = signals.max().item<int64_t>();
  if (signal == 0) return;
  request_stop(static_cast<int>(signal));
  throw StopRequested();
}

void ProcessGroup::require_same(const std::vector<std::pair<std::string, std::string>>& values) {
  for (const auto& [what, value] : values) {
    const auto all = gather(value);
    for (size_t r = 1; r < all.size(); ++r) {
      if (all[r] == all[0]) continue;
      const auto at = first_difference(all[r], all[0]);
      throw std::runtime_error(
          fmt::format("rank {} of {} has another {} than rank 0: \"{}\", not \"{}\"",
                      r,
                      size(),
                      what,
                      shortened(all[r], at),
                      shortened(all[0], at)));
    }
  }
}

void ProcessGroup::throw_of_others() {
  monitor_->wait_for(kReason_sec, [] { return false; });
  throw ProcessLost(monitor_->verdict().value_or("rank 0 has not said why it ends"));
}

void ProcessGroup::finish() {
  check_gpu();
  if (monitor_->finish()) return;
  failed_ = true;
  throw ProcessLost(monitor_->verdict().value_or("a process is lost"));
}

bool ProcessGroup::fail(const std::string& why) {
  failed_ = true;
  return monitor_->fail(why);
}

ProcessGroup* join_processes(const ProcessOptions& options,
                             const std::string& version,
                             std::function<void(const std::string&)> say) {
  if (own_group()) return own_group().get();
  const auto place = process_place();
  if (!place.note.empty()) say(place.note);
  if (place.size == 1 && !options.even_one) return nullptr;
  require(options.processes == 1 || options.processes == place.size,
          "--processes {}: {} has started {}; leave the option out",
          options.processes,
          place.launcher,
          place.size);
  own_group() =
      std::make_unique<ProcessGroup>(place, options, version, [say](const std::string& why) {
        if (!why.empty()) say(why);
        std::fflush(stdout);
        _exit(1);
      });
  return own_group().get();
}

ProcessGroup* process_group() { return own_group().get(); }

}  // namespace uvic::base
