// Watches the processes of a job from a thread of its own: whichever dies, stops or fails, all end.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/process_place.h"
#include "base/rendezvous.h"

namespace uvic::base {

/// Every process sends rank 0 a beat each second or more often, and rank 0 every process. A verdict
/// is why the job ends. It falls where
///
///   a process says why it fails, or its connection ends without a goodbye,
///   nothing has been heard of it for 3/4 of the timeout (a stopped process, a cut link),
///   every process has waited for the others for that long, and none has gone on.
///
/// Rank 0 passes a verdict to all. A process that loses rank 0 has its own verdict. What a process
/// does between two waits may take as long as it likes.
class ProcessMonitor {
 public:
  /// `end(why)` is called on the monitor's thread where this process does not end by itself within
  /// a quarter of the timeout after a verdict; it does not return. `why` is "" where another
  /// process reports it.
  ProcessMonitor(Meeting meeting,
                 const ProcessPlace& place,
                 double timeout_sec,
                 std::function<void(const std::string& why)> end);
  ~ProcessMonitor();
  ProcessMonitor(const ProcessMonitor&) = delete;
  ProcessMonitor& operator=(const ProcessMonitor&) = delete;

  /// This process begins to wait for the others, for the `number`-th time (from 1); it goes on.
  void begin_wait(uint64_t number);
  void end_wait();

  /// Waits until `ready()` or a verdict, and at most so long. Returns whether it is ready.
  bool wait(const std::function<bool()>& ready);
  bool wait_for(double seconds, const std::function<bool()>& ready);
  /// From any thread: changes what `ready()` reads.
  void update(const std::function<void()>& change);

  /// `call()` once there is a verdict, on any thread: it must return at once, and call nothing of
  /// this object. Empty: nothing more is called.
  void on_verdict(std::function<void()> call);

  /// Why the job ends, or nothing.
  std::optional<std::string> verdict();
  /// Whether this process is the one to report it.
  bool reports_verdict();

  /// This process fails: tells all. Returns whether this process is to report it: false where rank
  /// 0 has taken it over, or has reported something else.
  bool fail(const std::string& why);

  /// Asks all processes to stop, as base::request_stop(signal) does in each.
  void stop_all(int signal);

  /// Waits until every process has come here, or for a verdict; returns whether all have.
  bool finish();

 private:
  struct Watched {
    Peer peer;
    Clock::time_point heard;
    uint64_t waits_for = 0;  ///< the number of its wait, or 0
    Clock::time_point waits_since;
    bool said_goodbye = false;
  };

  void run();
  void wake();
  void poll_sockets();
  void hear(Watched& from, const Message& message);
  void send_to_all(char type, const std::string& text);
  void refuse_late_process();
  void check(Clock::time_point now);
  void check_waits(Clock::time_point now);
  void beat(Clock::time_point now);
  void decide(const std::string& why, bool reported_elsewhere);
  void end_if_overdue(Clock::time_point now);
  bool all_said_goodbye() const;
  std::string lost(const Watched& peer, const char* how) const;
  double seconds(Clock::time_point from, Clock::time_point to) const;

  const ProcessPlace place_;
  const double timeout_sec_;
  const std::function<void(const std::string&)> end_;
  const double beat_sec_;
  int listening_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Watched> peers_;
  uint64_t waits_for_ = 0;
  Clock::time_point waits_since_, last_beat_, last_look_, decided_;
  std::optional<std::string> verdict_;
  std::function<void()> on_verdict_;
  bool reports_ = false, stop_ = false;
  int wake_ = -1;
  std::thread thread_;
};

}  // namespace uvic::base
