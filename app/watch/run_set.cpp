#include "app/watch/run_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kDeepest = 3;
constexpr size_t kMostBytesOfPoll = 4 << 20;

void add_runs_below(const fs::path& folder,
                    int depth,
                    size_t most,
                    int& entries_left,
                    std::vector<fs::path>& runs) {
  if (is_watched_run(folder)) return runs.push_back(folder);
  if (depth >= kDeepest) return;
  std::error_code error;
  std::vector<fs::path> inner;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (--entries_left < 0) break;
    if (entry.path().filename().string()[0] == '.' || entry.is_symlink(error)) continue;
    if (entry.is_directory(error)) inner.push_back(entry.path());
  }
  std::sort(inner.begin(), inner.end());
  for (const auto& path : inner)
    if (runs.size() < most) add_runs_below(path, depth + 1, most, entries_left, runs);
}

/// Points of training as columns: {"images": [...], NAME: [...]}.
json columns_of(const std::vector<StatsLine>& points) {
  auto columns = json::object();
  auto images = json::array();
  for (const auto& point : points) {
    for (const auto& [name, value] : point.values) {
      auto& column = columns[name];
      while (column.size() < images.size()) column.push_back(nullptr);
      if (column.size() == images.size()) column.push_back(value);
    }
    images.push_back(point.images_seen);
  }
  for (auto& column : columns)
    while (column.size() < images.size()) column.push_back(nullptr);
  return {{"images", std::move(images)}, {"values", std::move(columns)}};
}

std::string one_line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

bool is_watched_run(const fs::path& folder) {
  for (const auto* name : {"run.json", "stats.jsonl"})
    if (mark_inside(folder, {name}).size >= 0) return true;
  return false;
}

std::vector<fs::path> runs_below(const fs::path& root, size_t most) {
  std::vector<fs::path> runs;
  int entries_left = 20'000;
  add_runs_below(root, 0, most, entries_left, runs);
  return runs;
}

RunSet::RunSet(std::vector<fs::path> roots) : roots_(std::move(roots)) {}
RunSet::~RunSet() { stop(); }

std::string RunSet::name_of(const fs::path& root, const fs::path& run) const {
  std::error_code error;
  const auto whole = fs::absolute(run, error).lexically_normal();
  const auto own = whole.has_filename() ? whole.filename() : whole.parent_path().filename();
  auto name = run == root ? own.string() : run.lexically_relative(root).string();
  const bool is_taken = std::any_of(
      runs_.begin(), runs_.end(), [&](const auto& other) { return other->name() == name; });
  return is_taken ? run.string() : name;
}

void RunSet::look_for_runs() {
  const std::lock_guard lock(mutex_);
  const size_t before = runs_.size();
  for (const auto& root : roots_)
    for (const auto& folder : runs_below(root, kMostRuns)) {
      const bool is_known = std::any_of(
          runs_.begin(), runs_.end(), [&](const auto& run) { return run->folder() == folder; });
      if (is_known || runs_.size() >= kMostRuns) continue;
      runs_.push_back(std::make_shared<RunFollower>(
          folder, fmt::format("r{}", runs_.size()), name_of(root, folder)));
    }
  if (runs_.size() > before) events_.add("runs", "{}");
}

bool RunSet::poll(bool looks_for_runs) {
  if (looks_for_runs) look_for_runs();
  const auto locked = locked_files();
  bool has_more = false;
  for (const auto& run : runs()) {
    if (is_stopping_) return false;
    const auto news = run->poll(kMostBytesOfPoll, locked);
    has_more = has_more || run->has_more();
    if (!news.is_new) continue;
    json event = {{"run", run->id()}, {"summary", run->summary(news.has_grids)}};
    if (news.reloads_curve) event["reload"] = true;
    if (!news.points.empty()) event["points"] = columns_of(news.points);
    if (!news.log.empty()) event["log"] = news.log;
    if (news.log_began_again) event["log_began_again"] = true;
    if (news.has_scores) event["scores"] = true;
    if (news.has_config) event["config"] = true;
    events_.add("run", one_line(event));
  }
  return has_more;
}

void RunSet::start(double interval_sec) {
  thread_ = std::thread([this, interval_sec] {
    using Clock = std::chrono::steady_clock;
    Clock::time_point next_look;
    while (!is_stopping_) {
      const auto begin = Clock::now();
      if (begin >= next_look) {
        look_for_runs();
        next_look = Clock::now() + 100 * (Clock::now() - begin);
      }
      const bool has_more = poll(/*looks_for_runs=*/false);
      const auto until =
          Clock::now() + std::chrono::milliseconds(
                             has_more ? 20 : static_cast<int64_t>(std::ceil(1000 * interval_sec)));
      while (!is_stopping_ && Clock::now() < until)
        std::this_thread::sleep_for(
            std::min<Clock::duration>(until - Clock::now(), std::chrono::milliseconds(50)));
    }
  });
}

void RunSet::stop() {
  is_stopping_ = true;
  events_.close();
  if (thread_.joinable()) thread_.join();
}

std::vector<std::shared_ptr<RunFollower>> RunSet::runs() const {
  const std::lock_guard lock(mutex_);
  return runs_;
}

std::shared_ptr<RunFollower> RunSet::find(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  for (const auto& run : runs_)
    if (run->id() == id) return run;
  return nullptr;
}

}  // namespace uvic::app
