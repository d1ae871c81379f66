#include "base/process_monitor.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <utility>

#include "base/process.h"

namespace uvic::base {
namespace {

using Lock = std::unique_lock<std::mutex>;

constexpr double kSilence = 0.75;  // of the timeout

std::chrono::duration<double> duration(double seconds) {
  return std::chrono::duration<double>(seconds);
}

}  // namespace

ProcessMonitor::ProcessMonitor(Meeting meeting,
                               const ProcessPlace& place,
                               double timeout_sec,
                               std::function<void(const std::string&)> end)
    : place_(place),
      timeout_sec_(timeout_sec),
      end_(std::move(end)),
      beat_sec_(std::min(1.0, timeout_sec / 20)),
      listening_(meeting.listening),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  last_beat_ = last_look_ = Clock::now();
  for (auto& peer : meeting.peers) {
    Watched watched;
    watched.peer = std::move(peer);
    watched.heard = last_look_;
    peers_.push_back(std::move(watched));
  }
  thread_ = std::thread([this] {
    // Signals are for the threads of the program.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    run();
  });
}

ProcessMonitor::~ProcessMonitor() {
  {
    const Lock lock(mutex_);
    stop_ = true;
  }
  wake();
  thread_.join();
  if (listening_ >= 0) ::close(listening_);
  ::close(wake_);
}

double ProcessMonitor::seconds(Clock::time_point from, Clock::time_point to) const {
  return std::chrono::duration<double>(to - from).count();
}

void ProcessMonitor::update(const std::function<void()>& change) {
  const Lock lock(mutex_);
  change();
  changed_.notify_all();
}

void ProcessMonitor::wake() {
  const uint64_t one = 1;
  if (::write(wake_, &one, sizeof one) < 0) return;  // it is awake already
}

void ProcessMonitor::begin_wait(uint64_t number) {
  const Lock lock(mutex_);
  waits_for_ = number;
  waits_since_ = Clock::now();
}

void ProcessMonitor::end_wait() {
  const Lock lock(mutex_);
  waits_for_ = 0;
}

bool ProcessMonitor::wait(const std::function<bool()>& ready) {
  Lock lock(mutex_);
  changed_.wait(lock, [&] { return ready() || verdict_; });
  return ready();
}

bool ProcessMonitor::wait_for(double seconds, const std::function<bool()>& ready) {
  Lock lock(mutex_);
  changed_.wait_for(lock, duration(seconds), [&] { return ready() || verdict_; });
  return ready();
}

void ProcessMonitor::on_verdict(std::function<void()> call) {
  const Lock lock(mutex_);
  if (verdict_ && call) call();
  on_verdict_ = std::move(call);
}

std::optional<std::string> ProcessMonitor::verdict() {
  const Lock lock(mutex_);
  return verdict_;
}

bool ProcessMonitor::reports_verdict() {
  const Lock lock(mutex_);
  return reports_;
}

bool ProcessMonitor::fail(const std::string& why) {
  Lock lock(mutex_);
  if (verdict_) return reports_;
  if (place_.rank == 0) {
    decide(why, /*reported_elsewhere=*/false);
    // Those who read it close their ends; a second is plenty.
    changed_.wait_for(lock, duration(1), [&] {
      return std::all_of(peers_.begin(), peers_.end(), [](const Watched& w) {
        return !w.peer.socket || w.peer.socket->is_closed();
      });
    });
    return true;
  }
  if (peers_[0].peer.socket) peers_[0].peer.socket->send(kFailure, why);
  changed_.wait_for(lock, duration(std::min(5.0, timeout_sec_ / 4)), [&] { return !!verdict_; });
  return !verdict_;
}

void ProcessMonitor::send_to_all(char type, const std::string& text) {
  for (auto& watched : peers_)
    if (watched.peer.socket) watched.peer.socket->send(type, text);
}

void ProcessMonitor::stop_all(int signal) {
  const Lock lock(mutex_);
  request_stop(signal);
  if (!verdict_) send_to_all(kStop, fmt::format("{}", signal));
}

bool ProcessMonitor::all_said_goodbye() const {
  return std::all_of(peers_.begin(), peers_.end(), [](const Watched& w) { return w.said_goodbye; });
}

bool ProcessMonitor::finish() {
  Lock lock(mutex_);
  if (place_.rank != 0 && !verdict_) peers_[0].peer.socket->send(kGoodbye, "");
  changed_.wait(lock, [&] { return verdict_ || all_said_goodbye(); });
  if (verdict_) return false;
  if (place_.rank == 0)
    for (auto& watched : peers_) {
      if (!watched.peer.socket) continue;
      watched.peer.socket->send(kGoodbye, "");
      watched.peer.socket->end_sending();
    }
  return true;
}

void ProcessMonitor::run() {
  while (true) {
    poll_sockets();
    const Lock lock(mutex_);
    if (stop_) return;
    const auto now = Clock::now();
    // This process itself was stopped, or the machine slept: nobody could be heard.
    if (seconds(last_look_, now) > std::max(10 * beat_sec_, timeout_sec_ / 4))
      for (auto& watched : peers_) watched.heard = now;
    last_look_ = now;
    for (auto& watched : peers_) {
      auto* socket = watched.peer.socket.get();
      if (!socket) continue;
      for (const auto& message : socket->receive()) hear(watched, message);
      socket->flush();
      if (!socket->is_closed()) continue;
      watched.peer.socket.reset();
      if (!watched.said_goodbye && !verdict_)
        decide(lost(watched, "has died: its connection closed without notice"),
               // The launcher knows more: the signal.
               place_.launcher == "--processes");
    }
    refuse_late_process();
    if (!verdict_) check(now);
    beat(now);
    changed_.notify_all();
    end_if_overdue(now);
  }
}

void ProcessMonitor::poll_sockets() {
  std::vector<pollfd> ready = {{wake_, POLLIN, 0}};
  {
    const Lock lock(mutex_);
    if (listening_ >= 0) ready.push_back({listening_, POLLIN, 0});
    for (const auto& watched : peers_) {
      if (!watched.peer.socket) continue;
      const bool waits = watched.peer.socket->has_unsent();
      ready.push_back({watched.peer.socket->descriptor(),
                       static_cast<short>(waits ? POLLIN | POLLOUT : POLLIN),
                       0});
    }
  }
  ::poll(ready.data(), ready.size(), static_cast<int>(500 * beat_sec_));
  uint64_t count = 0;
  if (::read(wake_, &count, sizeof count) < 0) return;  // nobody called wake()
}

void ProcessMonitor::hear(Watched& from, const Message& message) {
  from.heard = Clock::now();
  switch (message.type) {
    case kBeat: {
      uint64_t number = 0;
      std::from_chars(message.text.data(), message.text.data() + message.text.size(), number);
      if (number != from.waits_for) from.waits_since = from.heard;
      from.waits_for = number;
      return;
    }
    case kFailure:
      if (place_.rank == 0 && !verdict_)
        decide(fmt::format("{}: {}", from.peer.name(place_.size), message.text), false);
      return;
    case kAbort:
      if (!verdict_) decide(message.text, /*reported_elsewhere=*/true);
      return;
    case kGoodbye:
      from.said_goodbye = true;
      return;
    case kStop: {
      int signal = 0;
      std::from_chars(message.text.data(), message.text.data() + message.text.size(), signal);
      if (signal <= 0 || signal >= NSIG || stop_requested() != 0) return;
      request_stop(signal);
      if (place_.rank == 0 && !verdict_) send_to_all(kStop, message.text);
      return;
    }
    default:
      return;
  }
}

void ProcessMonitor::refuse_late_process() {
  while (listening_ >= 0) {
    const int descriptor = accept_one(listening_);
    if (descriptor < 0) return;
    MessageSocket(descriptor)
        .send(kRefusal,
              fmt::format("the job of {} processes here has begun without this one", place_.size));
  }
}

std::string ProcessMonitor::lost(const Watched& watched, const char* how) const {
  return fmt::format("{} {}", watched.peer.name(place_.size), how);
}

void ProcessMonitor::check(Clock::time_point now) {
  for (const auto& watched : peers_)
    if (watched.peer.socket && !watched.said_goodbye &&
        seconds(watched.heard, now) > kSilence * timeout_sec_)
      return decide(
          lost(watched,
               fmt::format("has not been heard of for {:.0f} s: it is stopped, or its host or link "
                           "is gone",
                           seconds(watched.heard, now))
                   .c_str()),
          false);
  if (place_.rank == 0) check_waits(now);
}

void ProcessMonitor::check_waits(Clock::time_point now) {
  const auto long_enough = [&](uint64_t number, Clock::time_point since) {
    return number > 0 && seconds(since, now) > kSilence * timeout_sec_;
  };
  if (!long_enough(waits_for_, waits_since_)) return;
  std::string waits = fmt::format("rank 0 in exchange {}", waits_for_);
  for (const auto& watched : peers_) {
    if (!long_enough(watched.waits_for, watched.waits_since)) return;
    waits += fmt::format(", rank {} in {}", watched.peer.rank, watched.waits_for);
  }
  decide(fmt::format(
             "all {} processes have waited for each other for {:.0f} s, and nothing arrives: {}",
             place_.size,
             kSilence * timeout_sec_,
             waits),
         false);
}

void ProcessMonitor::beat(Clock::time_point now) {
  if (seconds(last_beat_, now) < beat_sec_ || verdict_) return;
  last_beat_ = now;
  for (auto& watched : peers_)
    if (watched.peer.socket && !watched.peer.socket->has_unsent())
      watched.peer.socket->send(kBeat, fmt::format("{}", waits_for_));
}

void ProcessMonitor::decide(const std::string& why, bool reported_elsewhere) {
  verdict_ = why;
  decided_ = Clock::now();
  // Of those who lose rank 0 one reports it, on each machine.
  reports_ = !reported_elsewhere && (place_.rank <= 1 || place_.local_rank == 0);
  if (place_.rank == 0)
    for (auto& watched : peers_) {
      if (!watched.peer.socket) continue;
      watched.peer.socket->send(kAbort, why);
      watched.peer.socket->end_sending();
    }
  if (on_verdict_) on_verdict_();
  changed_.notify_all();
}

void ProcessMonitor::end_if_overdue(Clock::time_point now) {
  if (!verdict_) return;
  // Time to finish a step and to save what was trained.
  if (seconds(decided_, now) > (1 - kSilence) * timeout_sec_) end_(reports_ ? *verdict_ : "");
}

}  // namespace uvic::base
