#include "app/runs/tensorboard_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "app/options/options.h"
#include "app/runs/append_file.h"
#include "app/runs/public_metadata.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_record.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

// The ending distinguishes our files from those of other programs, which stay untouched.
constexpr const char *kEventPrefix = "events.out.tfevents.", *kEventEnding = ".uvic",
                     *kSamples = "samples";

using Scalars = std::vector<std::pair<std::string, double>>;

double seconds_since_1970() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

void collect_scalars(const nlohmann::json& object, const std::string& prefix, Scalars& values) {
  for (const auto& [name, value] : object.items()) {
    if (prefix.empty() && (name == "images_seen" || name == "step")) continue;
    if (value.is_object())
      collect_scalars(value, prefix + name + "/", values);
    else if (value.is_number() && std::isfinite(value.get<double>()))
      values.emplace_back(prefix + name, value.get<double>());
  }
}

/// Four spaces before a line: Markdown's way to leave a text as it is.
std::string verbatim(const std::string& text) {
  std::string lines = "    ";
  for (const char c : text) lines += c == '\n' ? "\n    " : std::string(1, c);
  return lines;
}

std::string grid_record(const formats::EventTime& at, const fs::path& file) {
  const auto bytes = formats::read_file(file);
  if (file.extension() != ".png") return formats::text_record(at, kSamples, verbatim(bytes));
  const auto size = formats::image_size(
      reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), file.string());
  return formats::image_record(at, kSamples, bytes, size.height, size.width);
}

/// One that sorts behind those that are there, also where launches follow within a second.
std::string new_event_file(const fs::path& folder) {
  auto seconds = static_cast<int64_t>(seconds_since_1970());
  for (const auto& file : event_files(folder)) {
    const auto digits = file.filename().string().substr(std::string(kEventPrefix).size(), 10);
    if (digits.find_first_not_of("0123456789") == std::string::npos && !digits.empty())
      seconds = std::max<int64_t>(seconds, std::stoll(digits) + 1);
  }
  return fmt::format(
      "{}{:010d}.{}.{}{}", kEventPrefix, seconds, host_name(), ::getpid(), kEventEnding);
}

/// What the event files have: of each step the tags.
std::map<int64_t, std::set<std::string>> tags_by_step(const fs::path& folder) {
  std::map<int64_t, std::set<std::string>> tags;
  for (const auto& file : event_files(folder)) {
    const auto bytes = formats::read_file(file, SIZE_MAX);
    for (const auto payload : formats::read_records(bytes).payloads) {
      const auto event = formats::read_event(payload, file.string());
      tags[event.at.step].insert(event.tags.begin(), event.tags.end());
    }
  }
  return tags;
}

}  // namespace

std::vector<fs::path> event_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto name = entry.path().filename().string();
    if (name.rfind(kEventPrefix, 0) == 0 && base::ends_with(name, kEventEnding) &&
        entry.is_regular_file(error))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> cut_event_files(const fs::path& folder, int64_t images_seen) {
  std::vector<std::string> notes;
  for (const auto& file : event_files(folder)) {
    const auto bytes = formats::read_file(file, SIZE_MAX);
    const auto records = formats::read_records(bytes);
    if (!records.fault.empty())
      notes.push_back(
          fmt::format("{}: {}; what follows it is dropped, and added again from "
                      "stats.jsonl and grids/ with --tensorboard",
                      file.string(),
                      records.fault));
    std::string kept;
    bool begins_later = records.payloads.empty();
    for (const auto payload : records.payloads) {
      const auto event = formats::read_event(payload, file.string());
      begins_later |= event.starts_session && event.at.step > images_seen;
      if (event.at.step <= images_seen) kept += formats::record_of(payload);
    }
    if (begins_later)
      fs::remove(file);
    else if (kept != bytes)
      formats::write_file_atomically(file, kept);
  }
  return notes;
}

TensorboardLog::TensorboardLog(const RunDir& run,
                               const RunConfig& config,
                               int64_t images_seen,
                               double elapsed_sec)
    : name_(new_event_file(run.path())) {
  const formats::EventTime at{seconds_since_1970(), images_seen};
  append_to_file(run.path() / name_,
                 formats::version_record(at.wall_time) +
                     formats::session_start_record({at.wall_time, images_seen + 1}) +
                     formats::text_record(at, "config", verbatim(to_toml(config))) +
                     formats::hyper_parameters_record(at, hyper_parameters(config)));
  add_missing(run, images_seen, elapsed_sec);
}

void TensorboardLog::add_missing(const RunDir& run, int64_t images_seen, double elapsed_sec) {
  auto known = tags_by_step(run.path());
  const double now = seconds_since_1970();
  std::map<int64_t, std::string> records;  // by step: the steps of a file ascend
  std::map<int64_t, double> times;         // as if the run had been trained without a pause
  for (const auto& line : run.read_stats()) {
    const auto step = line["images_seen"].get<int64_t>();
    if (step > images_seen) continue;
    const auto elapsed = line.find("elapsed_sec");
    if (elapsed != line.end() && elapsed->is_number())
      times[step] = now - std::max(0.0, elapsed_sec - elapsed->get<double>());
    Scalars all, missing;
    collect_scalars(line, "", all);
    for (const auto& scalar : all)
      if (known[step].insert(scalar.first).second) missing.push_back(scalar);
    if (missing.empty()) continue;
    const auto time = times.count(step) ? times[step] : now;
    records[step] += formats::scalars_record({time, step}, missing);
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run.path() / "grids", error)) {
    const auto& file = entry.path();
    const auto stem = file.stem().string();
    if ((file.extension() != ".png" && file.extension() != ".txt") || stem.size() > 18 ||
        stem.empty() || stem.find_first_not_of("0123456789") != std::string::npos)
      continue;
    const int64_t step = std::stoll(stem);
    if (step > images_seen || !known[step].insert(kSamples).second) continue;
    const auto after = times.lower_bound(step);
    records[step] += grid_record({after == times.end() ? now : after->second, step}, file);
  }
  for (const auto& [step, text] : records) append_to_file(run.path() / name_, text);
  step_ = images_seen;
  tags_of_step_ = known[images_seen];
}

void TensorboardLog::add_stats(const fs::path& folder, const nlohmann::json& line) const {
  const auto step = line.at("images_seen").get<int64_t>();
  if (step != step_) tags_of_step_.clear();
  step_ = step;
  Scalars values, added;
  collect_scalars(line, "", values);
  for (const auto& value : values)
    if (tags_of_step_.insert(value.first).second) added.push_back(value);
  if (!added.empty())
    append_to_file(folder / name_, formats::scalars_record({seconds_since_1970(), step}, added));
}

void TensorboardLog::add_grid(const fs::path& folder,
                              const fs::path& file,
                              int64_t images_seen) const {
  append_to_file(folder / name_, grid_record({seconds_since_1970(), images_seen}, file));
}

std::map<std::string, formats::HyperParameter> hyper_parameters(const RunConfig& config) {
  std::map<std::string, formats::HyperParameter> values;
  auto shown = without_paths(config);
  base::visit_leaves(shown, [&](const std::string& name, auto& value, const base::Field&) {
    using Value = std::decay_t<decltype(value)>;
    if (name == "memory" || name == "dry_run" || name == "tensorboard") return;
    if constexpr (std::is_same_v<Value, bool>)
      values[name] = value;
    else if constexpr (std::is_arithmetic_v<Value>)
      values[name] = static_cast<double>(value);
    else if constexpr (std::is_same_v<Value, std::string>)
      if (!value.empty()) values[name] = value;
  });
  return values;
}

}  // namespace uvic::app
