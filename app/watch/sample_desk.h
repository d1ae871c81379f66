// Samples on request: a queue of them, one at a time, each with its steps to look at.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "app/watch/event_log.h"
#include "app/watch/run_set.h"

namespace uvic::app {

struct SampleLimits {
  int64_t steps = 250, images = 16;
  size_t waiting = 16;  ///< requests in the queue; further ones are refused
  size_t kept = 48;     ///< finished ones; the oldest go
  size_t prompt_bytes = 1000;
  int64_t frames = 24;  ///< that are kept of the steps
};

/// What one request asks for.
struct SampleAsk {
  std::string run;         ///< the id
  int64_t checkpoint = 0;  ///< images seen
  std::string label;       ///< as --labels takes it; empty: the classes in turn by seed
  std::string prompt, sampler = "unipc";
  int64_t seed = 0, images = 1, steps = 20;  ///< seeds from `seed` on
  double guidance = 1;
};

/// From {"run", "checkpoint", "label", "prompt", "seed", "images", "steps", "sampler", "guidance"}.
/// Throws std::invalid_argument that says what is wrong: no object, an unknown key, a wrong type, a
/// number out of its range, an unknown sampler.
SampleAsk parse_sample_ask(const std::string& text, const SampleLimits& limits);

/// The queue and the thread that works on it. Safe for several threads at once.
class SampleDesk {
 public:
  struct Options {
    std::string device = "auto", precision = "auto";
    int64_t threads = 0;
  };

  SampleDesk(RunSet& runs, Options options, SampleLimits limits = {});
  ~SampleDesk();  ///< cancels and stops

  const SampleLimits& limits() const { return limits_; }

  /// What can be requested of a run: {"checkpoints": [images seen], "classes": [name], "text",
  /// "sampler", "steps", "guidance": of its config, "samplers", "most_steps", "most_images"}; null
  /// where no run has this id.
  nlohmann::json choices(const std::string& run) const;

  /// Adds a request: its id; nothing where the queue is full. Throws std::invalid_argument for a
  /// run or a checkpoint that does not exist.
  std::optional<std::string> add(const SampleAsk& ask);
  /// Ends it, before its turn or in the middle. False where no request has this id.
  bool cancel(const std::string& id);

  /// {"id", "state": waiting, running, done, failed or cancelled, "ahead", "step", "steps", "frames",
  /// "images", "seeds", "fault", and what was requested}; null where no request has this id.
  nlohmann::json job(const std::string& id) const;
  nlohmann::json jobs() const;

  /// The PNG of an image, with how it was made; nothing where there is none (yet).
  std::optional<std::string> image(const std::string& id, size_t number) const;
  /// What the network predicts of the images before a step, as one PNG; the last is the images.
  std::optional<std::string> frame(const std::string& id, size_t number) const;

 private:
  struct Job;
  struct Subject;

  void work();
  void generate_job(Job& job);
  std::shared_ptr<Subject> open_subject(const Job& job);
  void tell(const Job& job) const;
  std::shared_ptr<Job> find(const std::string& id) const;
  nlohmann::json json_of(const Job& job) const;

  RunSet& runs_;
  const Options options_;
  const SampleLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> jobs_;  ///< in their order; finished ones too
  int64_t count_ = 0;
  std::vector<std::shared_ptr<Subject>> subjects_;  ///< of the worker alone
  std::atomic<bool> is_stopping_{false};
  std::thread thread_;
};

}  // namespace uvic::app
