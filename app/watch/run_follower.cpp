#include "app/watch/run_follower.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "app/runs/run_parts.h"
#include "data/formats/json.h"

namespace uvic::app {

using nlohmann::json;

namespace {

constexpr size_t kPointsOfNews = 64, kLogLines = 300, kMostScores = 4096, kMostAttention = 512,
                 kMostGrids = 4096;
constexpr int64_t kLogTail_bytes = 64 << 10;
constexpr size_t kMostConfig_bytes = 1 << 20, kMostGrid_bytes = 64 << 20;
constexpr int64_t kMostDetail_bytes = 16 << 20;

double now_sec() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

json grid_list(const std::vector<std::string>& names) {
  auto list = json::array();
  for (const auto& name : names) list.push_back({number_of_name(name), name});
  return list;
}

template <class Value>
void push_bounded(std::deque<Value>& list, Value value, size_t most) {
  list.push_back(std::move(value));
  if (list.size() > most) list.pop_front();
}

/// A text of TOML in single quotes as the text itself.
std::string without_quotes(const std::string& value) {
  const bool is_quoted = value.size() >= 2 && value.front() == '\'' && value.back() == '\'';
  return is_quoted ? value.substr(1, value.size() - 2) : value;
}

/// Calls `take` with each line of stats.jsonl in a range of bytes. False where the file is another
/// by now.
template <class Take>
bool for_lines_between(const std::filesystem::path& folder,
                       const FileMark& mark,
                       int64_t begin,
                       int64_t end,
                       const Take& take) {
  struct stat status = {};
  const auto file = open_inside(folder, {"stats.jsonl"}, status);
  if (!file || status.st_ino != mark.inode || status.st_dev != mark.device) return false;
  std::string text(static_cast<size_t>(std::max<int64_t>(0, end - begin)), '\0');
  const auto count = ::pread(file.number(), text.data(), text.size(), begin);
  std::string_view rest(text.data(), count > 0 ? static_cast<size_t>(count) : 0);
  for (size_t stop; (stop = rest.find('\n')) != std::string_view::npos;) {
    take(rest.substr(0, stop));
    rest.remove_prefix(stop + 1);
  }
  return true;
}

/// A text of a record from a stranger, shortened; "" where it is none.
std::string record_text(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_string()) return "";
  return found->get<std::string>().substr(0, 400);
}

json number_or_null(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return nullptr;
  return object[key];
}

}  // namespace

RunFollower::RunFollower(std::filesystem::path folder, std::string id, std::string name)
    : folder_(std::move(folder)),
      id_(std::move(id)),
      name_(std::move(name)),
      stats_(folder_, "stats.jsonl"),
      log_(folder_, "log.txt", kLogTail_bytes) {
  // What a run is, is known from the first moment on; its numbers come with the first poll().
  RunNews ignored;
  take_config(ignored);
  take_record();
}

void RunFollower::note_time(const FileMark& mark) {
  if (mark.size < 0) return;
  written_sec_ =
      std::max(written_sec_,
               static_cast<double>(mark.seconds) + 1e-9 * static_cast<double>(mark.nanoseconds));
}

void RunFollower::take_beside_training(const StatsLine& line) {
  const bool is_of_attention = line.is_of_attention();
  auto& list = is_of_attention ? attention_ : scores_;
  list.push_back(line);
  // Every second of the older ones: more than a plot of them can show.
  if (list.size() > (is_of_attention ? kMostAttention : kMostScores)) {
    for (size_t i = 0; 2 * i < list.size(); ++i) list[i] = list[2 * i];
    list.resize((list.size() + 1) / 2);
  }
}

void RunFollower::take_stats(size_t most_bytes, RunNews& news) {
  const auto read = stats_.read(most_bytes);
  has_more_ = read.has_more;
  note_time(stats_.mark());
  if (read.began_again) {
    news.reloads_curve = news.is_new = news.has_scores = true;
    curve_ = CurveBuckets(kBuckets);
    scores_.clear();
    attention_.clear();
    rates_.clear();
    gaps_sec_.clear();
    last_ = {};
    line_time_sec_ = -1;
  }
  for (size_t i = 0; i < read.lines.size(); ++i) {
    const auto line = parse_stats_line(read.lines[i]);
    if (!line) continue;
    news.is_new = true;
    if (!line->is_of_training()) {
      take_beside_training(*line);
      news.has_scores = true;
      continue;
    }
    curve_.add(*line, read.line_offsets[i]);
    last_ = *line;
    if (const auto* rate = line->find("images_per_sec")) push_bounded(rates_, *rate, 16);
    if (const auto* time = line->find("elapsed_sec")) {
      if (line_time_sec_ >= 0 && *time > line_time_sec_)
        push_bounded(gaps_sec_, *time - line_time_sec_, 16);
      line_time_sec_ = *time;
    }
    if (news.points.size() < kPointsOfNews)
      news.points.push_back(*line);
    else
      news.reloads_curve = true;
  }
  if (news.reloads_curve) news.points.clear();
}

void RunFollower::take_log(RunNews& news) {
  auto read = log_.read(1 << 20);
  note_time(log_.mark());
  if (read.began_again) log_lines_.clear(), news.log_began_again = true;
  for (auto& line : read.lines) {
    if (line.size() > 2000) line = line.substr(0, 2000) + " ...";
    push_bounded(log_lines_, line, kLogLines);
    news.log.push_back(std::move(line));
  }
  if (news.log.size() > kLogLines)
    news.log.erase(news.log.begin(), news.log.end() - static_cast<long>(kLogLines));
  news.is_new = news.is_new || read.began_again || !read.lines.empty();
}

void RunFollower::take_grids(RunNews& news) {
  const auto mark = mark_inside(folder_, {"grids"});
  if (mark == grids_mark_) return;
  grids_mark_ = mark;
  auto grids = numbered_names(folder_, "grids", ".png", kMostGrids);
  auto texts = numbered_names(folder_, "grids", ".txt", kMostGrids);
  news.has_grids = grids != grids_ || texts != texts_;
  news.is_new = news.is_new || news.has_grids;
  grids_ = std::move(grids);
  texts_ = std::move(texts);
}

void RunFollower::take_config(RunNews& news) {
  const auto mark = mark_inside(folder_, {"config.toml"});
  if (mark == config_mark_) return;
  config_mark_ = mark;
  news.has_config = news.is_new = true;
  config_ = json::object();
  const auto text = read_inside(folder_, {"config.toml"}, kMostConfig_bytes);
  if (!text) return;
  try {
    RunConfig options;
    read_toml_text(*text, "config.toml", options, /*keep_unknown=*/true);
    total_images_ = static_cast<double>(options.total_images);
    is_of_sequences_ = options.is_of_sequences();
    for (const auto& [name, value] : option_texts(options)) config_[name] = without_quotes(value);
  } catch (const std::exception& error) {
    config_ = {{"fault", error.what()}};
  }
}

void RunFollower::take_record() {
  const auto mark = mark_inside(folder_, {"run.json"});
  if (mark == record_mark_) return;
  record_mark_ = mark;
  const auto text = read_inside(folder_, {"run.json"}, 4 * kMostConfig_bytes);
  formats::JsonLimits limits;
  limits.values = 1 << 18;
  auto record = text ? formats::try_parse_json(*text, limits) : std::nullopt;
  record_ = record && record->is_object() ? std::move(*record) : json::object();
  const auto total = number_or_null(record_, "total_images");
  if (total_images_ <= 0 && total.is_number()) total_images_ = total.get<double>();
}

RunNews RunFollower::poll(size_t most_bytes, const std::set<LockedFile>& locked) {
  const std::lock_guard guard(mutex_);
  RunNews news;
  std::error_code error;
  is_there_ = std::filesystem::is_directory(folder_, error);
  take_config(news);
  take_record();
  take_stats(most_bytes, news);
  take_log(news);
  take_grids(news);
  const auto lock = mark_inside(folder_, {".lock"});
  is_held_ =
      lock.size >= 0 && locked.count({major(lock.device), minor(lock.device), lock.inode}) > 0;
  const auto word = run_state(signs()).word;
  news.is_new = news.is_new || word != state_word_;
  state_word_ = word;
  return news;
}

bool RunFollower::has_more() const {
  const std::lock_guard guard(mutex_);
  return has_more_;
}

double RunFollower::recent_rate() const {
  double sum = 0;
  for (const double rate : rates_) sum += rate;
  return rates_.empty() ? 0 : sum / static_cast<double>(rates_.size());
}

RunSigns RunFollower::signs() const {
  RunSigns signs;
  signs.is_there = is_there_;
  signs.images_seen = last_.images_seen;
  signs.total_images = total_images_;
  if (!log_lines_.empty()) signs.last_log_line = log_lines_.back();
  signs.silent_sec = written_sec_ > 0 ? std::max(0.0, now_sec() - written_sec_) : 0;
  for (const double gap : gaps_sec_) signs.usual_gap_sec = std::max(signs.usual_gap_sec, gap);
  signs.images_per_sec = recent_rate();
  signs.is_held = is_held_;
  return signs;
}

json RunFollower::summary(bool with_grids) const {
  const std::lock_guard guard(mutex_);
  const auto now = signs();
  const auto state = run_state(now);
  auto last = json::object();
  for (const auto& [name, value] : last_.values) last[name] = value;
  const auto& launches = record_.contains("launches") ? record_["launches"] : json();
  const auto launch = launches.is_array() && !launches.empty() ? launches.back() : record_;
  const auto data = record_.contains("data") ? record_["data"] : json();
  json summary = {{"id", id_},
                  {"name", name_},
                  {"folder", folder_.string()},
                  {"state", state.word},
                  {"held", is_held_},
                  {"eta_sec", state.eta_sec < 0 ? json() : json(state.eta_sec)},
                  {"silent_sec", now.silent_sec},
                  {"written", written_sec_},
                  {"images_seen", last_.images_seen},
                  {"total_images", total_images_},
                  {"images_per_sec", now.images_per_sec},
                  {"examples", is_of_sequences_ ? "sequences" : "images"},
                  {"lines", curve_.lines()},
                  {"reading", has_more_},
                  {"last", std::move(last)},
                  {"data", record_text(data, "describe")},
                  {"data_size", number_or_null(data, "size")},
                  {"parameters", number_or_null(record_, "parameters")},
                  {"host", record_text(launch, "host")},
                  {"device", record_text(launch, "device")},
                  {"precision", record_text(launch, "precision")},
                  {"started", record_text(launch, "time")},
                  {"command", record_text(launch, "command")}};
  if (with_grids) summary["grids"] = grid_list(grids_), summary["texts"] = grid_list(texts_);
  return summary;
}

json RunFollower::curve(size_t points, double low, double high) const {
  std::unique_lock guard(mutex_);
  const auto bytes = curve_.bytes_of(low, high);
  const bool is_part = std::isfinite(low) || std::isfinite(high);
  const int64_t end = bytes && bytes->second >= 0 ? bytes->second : stats_.mark().size;
  if (!is_part || !bytes || end - bytes->first > kMostDetail_bytes ||
      curve_.lines() <= static_cast<int64_t>(points))
    return curve_.json(points, low, high);
  const auto mark = stats_.mark();
  const int64_t count = curve_.lines();
  guard.unlock();  // reading takes time
  CurveBuckets part(std::max<size_t>(points, 2));
  const bool is_whole =
      for_lines_between(folder_, mark, bytes->first, end, [&](std::string_view text) {
        if (const auto line = parse_stats_line(text); line && line->is_of_training())
          part.add(*line, 0);
      });
  if (!is_whole) {  // replaced meanwhile
    guard.lock();
    return curve_.json(points, low, high);
  }
  auto result = part.json(points, low, high);
  result["lines"] = count;
  return result;
}

json RunFollower::scores() const {
  const std::lock_guard guard(mutex_);
  auto list = json::array();
  const auto with_values = [](json object, const StatsLine& line) {
    for (const auto& [name, value] : line.values) object[name] = value;
    return object;
  };
  for (const auto& line : scores_)
    list.push_back(with_values(
        {{"images_seen", line.images_seen}, {"distance_name", line.distance_name}}, line));
  for (const auto& line : attention_)
    list.push_back(with_values({{"images_seen", line.images_seen}}, line));
  return list;
}

json RunFollower::log_tail() const {
  const std::lock_guard guard(mutex_);
  return json(log_lines_);
}

json RunFollower::config() const {
  const std::lock_guard guard(mutex_);
  return config_;
}

std::vector<std::string> RunFollower::class_names() const {
  constexpr size_t kMost = 2000;
  const std::lock_guard guard(mutex_);
  std::vector<std::string> names;
  const auto data = record_.contains("data") ? record_["data"] : json();
  if (!data.is_object() || !data.contains("class_names") || !data["class_names"].is_array())
    return names;
  for (const auto& name : data["class_names"])
    if (name.is_string() && names.size() < kMost) names.push_back(name.get<std::string>());
  return names;
}

std::optional<std::string> RunFollower::grid(const std::string& name) const {
  {
    const std::lock_guard guard(mutex_);
    const auto has = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (!has(grids_) && !has(texts_)) return std::nullopt;
  }
  return read_inside(folder_, {"grids", name}, kMostGrid_bytes);
}

}  // namespace uvic::app
