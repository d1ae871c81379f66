// All runs that a page shows, and the thread that follows them.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "app/watch/event_log.h"
#include "app/watch/run_follower.h"

namespace uvic::app {

/// Whether the folder holds the record or the numbers of a run.
bool is_watched_run(const std::filesystem::path& folder);

/// Runs in `root`: itself, or what is up to three folders below it. No link is followed, and no run
/// is looked for inside another. At most `most`.
std::vector<std::filesystem::path> runs_below(const std::filesystem::path& root, size_t most);

class RunSet {
 public:
  static constexpr size_t kMostRuns = 256;

  /// Each root is a run, or a folder in which runs are looked for again and again.
  explicit RunSet(std::vector<std::filesystem::path> roots);
  ~RunSet();  ///< stops

  /// Looks for runs and reads what is new of each, at most about 4 MiB; true where more is there.
  bool poll(bool looks_for_runs = true);

  /// Polls every `interval_sec` on a thread, without a pause while there is more. Looking for runs
  /// in large folders takes at most a hundredth of the time.
  void start(double interval_sec);
  void stop();

  std::vector<std::shared_ptr<RunFollower>> runs() const;
  /// The run of an id, or nothing.
  std::shared_ptr<RunFollower> find(const std::string& id) const;

  /// Events: "runs" (a run was found), "run" (what is new of one), "reload".
  EventLog& events() { return events_; }
  const EventLog& events() const { return events_; }

 private:
  void look_for_runs();
  std::string name_of(const std::filesystem::path& root, const std::filesystem::path& run) const;

  const std::vector<std::filesystem::path> roots_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<RunFollower>> runs_;
  EventLog events_;
  std::thread thread_;
  std::atomic<bool> is_stopping_{false};
};

}  // namespace uvic::app
