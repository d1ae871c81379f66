#include "app/watch/event_log.h"

#include <fmt/format.h>

namespace uvic::app {
namespace {

constexpr size_t kMostEvents = 1024, kMostBytes = 8 << 20, kMostBytesAtOnce = 1 << 20;

std::string event_text(int64_t number, const std::string& kind, const std::string& data) {
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", number, kind, data);
}

}  // namespace

void EventLog::add(const std::string& kind, const std::string& data) {
  {
    const std::lock_guard lock(mutex_);
    ++newest_;
    events_.push_back({newest_, event_text(newest_, kind, data)});
    bytes_ += events_.back().text.size();
    while (events_.size() > kMostEvents || (bytes_ > kMostBytes && events_.size() > 1)) {
      bytes_ -= events_.front().text.size();
      events_.pop_front();
    }
  }
  changed_.notify_all();
}

int64_t EventLog::newest() const {
  const std::lock_guard lock(mutex_);
  return newest_;
}

std::string EventLog::wait(int64_t& seen, std::chrono::milliseconds time) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] { return is_closed_ || newest_ != seen; });
  if (newest_ == seen || is_closed_) return "";
  const int64_t oldest = events_.empty() ? newest_ + 1 : events_.front().number;
  if (seen > newest_ || seen + 1 < oldest) {
    seen = newest_;
    return event_text(seen, "reload", "{}");
  }
  std::string text;
  for (auto i = static_cast<size_t>(seen + 1 - oldest);
       i < events_.size() && text.size() < kMostBytesAtOnce;
       ++i) {
    text += events_[i].text;
    seen = events_[i].number;
  }
  return text;
}

void EventLog::close() {
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
  }
  changed_.notify_all();
}

}  // namespace uvic::app
