#include "app/runs/checkpoint_list.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <system_error>

#include "app/options/options.h"
#include "app/runs/run_parts.h"
#include "app/runs/score_lines.h"
#include "base/check.h"
#include "base/list_text.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWords =
    "latest, all, best, every=IMAGES, or counts of images such as 64k,128k";

/// A count of images as options take it; 0 where the word is none.
int64_t images_of(std::string word) {
  if (word.empty() || !detail::plain_count(word).empty()) return 0;
  const auto images = std::stoll(word);
  return images > 0 ? images : 0;
}

std::string list_of(const std::vector<NumberedFile>& files) {
  std::string list;
  for (const auto& file : files)
    list += (list.empty() ? "" : ", ") + std::to_string(file.images_seen);
  return list;
}

/// The first checkpoint at or after each multiple of `every`.
std::vector<NumberedFile> at_multiples(const std::vector<NumberedFile>& files, int64_t every) {
  TORCH_INTERNAL_ASSERT(every > 0);
  std::vector<NumberedFile> chosen;
  int64_t done = 0;
  for (const auto& file : files)
    if (file.images_seen / every > done) {
      done = file.images_seen / every;
      chosen.push_back(file);
    }
  if (!files.empty() && (chosen.empty() || chosen.back().images_seen != files.back().images_seen))
    chosen.push_back(files.back());
  return chosen;
}

}  // namespace

void check_checkpoint_list(const std::string& words) {
  if (words == "latest" || words == "all" || words == "best") return;
  const auto wrong = [&](bool right) {
    base::require(right, "--checkpoints {}: give {}", words, kWords);
  };
  if (words.rfind("every=", 0) == 0) return wrong(images_of(words.substr(6)) > 0);
  const auto parts = base::list_items(words);
  wrong(!parts.empty());
  for (const auto& part : parts) wrong(images_of(part) > 0);
}

namespace {

using Scored = std::vector<std::pair<NumberedFile, double>>;

/// The files with their last score in these lines, the best first.
Scored best_first(const std::vector<NumberedFile>& files,
                  const std::vector<nlohmann::json>& lines) {
  std::map<int64_t, double> distances;
  for (const auto& line : lines)
    distances[line["images_seen"].get<int64_t>()] = line["distance"].get<double>();
  Scored scored;
  for (const auto& file : files)
    if (const auto found = distances.find(file.images_seen); found != distances.end())
      scored.emplace_back(file, found->second);
  std::stable_sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) {
    return a.second < b.second;
  });
  return scored;
}

std::vector<NumberedFile> picked_checkpoints(const RunDir& run, const std::string& words) {
  check_checkpoint_list(words);
  if (words == "latest") {
    const auto latest = run.latest_weights();
    for (const auto& file : run.checkpoints())
      if (file.path == latest) return {file};
    return {{0, latest}};
  }
  const auto files = run.checkpoints();
  if (files.empty()) run.latest_weights();  // throws, and says why
  if (words == "all") return files;
  if (words == "best") {
    const auto scored = best_first(files, comparable_scores(run.read_stats()));
    base::require(!scored.empty(),
                  "--checkpoints best: {} has no scores of its checkpoints; train with "
                  "--score_images, or give all",
                  run.path().string());
    return {scored.front().first};
  }
  if (words.rfind("every=", 0) == 0) return at_multiples(files, images_of(words.substr(6)));
  std::vector<NumberedFile> chosen;
  for (const auto& word : base::list_items(words)) {
    const auto images = images_of(word);
    const auto found = std::find_if(
        files.begin(), files.end(), [&](const auto& file) { return file.images_seen >= images; });
    base::require(found != files.end(),
                  "--checkpoints {}: {} has no weights of {} images; it has those of {}",
                  words,
                  run.path().string(),
                  images,
                  list_of(files));
    if (chosen.empty() || chosen.back().images_seen < found->images_seen) chosen.push_back(*found);
  }
  return chosen;
}

}  // namespace

std::vector<NumberedFile> chosen_checkpoints(const RunDir& run, const std::string& words) {
  const auto chosen = picked_checkpoints(run, words);
  // Not the latest alone: of another run's, none is taken.
  for (const auto& file : chosen) check_weights_of_run(run, file);
  return chosen;
}

std::vector<NumberedFile> prune_checkpoints(const RunDir& run,
                                            const KeepRule& rule,
                                            int64_t batch) {
  if (rule.all) return {};
  const auto files = run.checkpoints();
  std::set<int64_t> kept;
  if (!files.empty()) kept.insert(files.back().images_seen);
  for (const auto& lines : score_groups(run.read_stats())) {
    const auto scored = best_first(files, lines);
    for (size_t i = 0; i < scored.size() && static_cast<int64_t>(i) < rule.best; ++i)
      kept.insert(scored[i].first.images_seen);
  }
  for (const auto& file : files)
    if (rule.every > 0 && file.images_seen % rule.every < batch && file.images_seen >= rule.every)
      kept.insert(file.images_seen);
  std::vector<NumberedFile> removed;
  for (const auto& file : files) {
    if (kept.count(file.images_seen)) continue;
    std::error_code error;
    if (fs::remove(file.path, error)) removed.push_back(file);
  }
  return removed;
}

}  // namespace uvic::app
