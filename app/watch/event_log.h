// The last events of a server, for any number of followers (server-sent events).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

namespace uvic::app {

/// Keeps the newest events, at most 1024 of them and 8 MiB. Safe for several threads at once.
class EventLog {
 public:
  /// `data` must hold no line break.
  void add(const std::string& kind, const std::string& data);

  /// The number of the newest event; 0 before the first.
  int64_t newest() const;

  /// Waits for events after number `seen` and returns them as the text of an event stream, which
  /// advances `seen`; "" where none came in that time. A follower that is too far behind, or of
  /// another server, gets one event "reload" in place of those that are gone.
  std::string wait(int64_t& seen, std::chrono::milliseconds time) const;

  /// wait() returns at once from now on.
  void close();

 private:
  struct Event {
    int64_t number;
    std::string text;
  };

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Event> events_;
  size_t bytes_ = 0;
  int64_t newest_ = 0;
  bool is_closed_ = false;
};

}  // namespace uvic::app
