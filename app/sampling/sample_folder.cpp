#include "app/sampling/sample_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <charconv>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "data/formats/json.h"
#include "data/formats/make_folder.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

// What may differ between sittings: what the pictures do not depend on.
const std::set<std::string> kFree = {"checkpoint",
                                     "images_seen",
                                     "sampler",
                                     "steps",
                                     "nfe",
                                     "class_names",
                                     "version",
                                     "run",
                                     "init",
                                     "mask",
                                     "invert",
                                     "guide"};

fs::path stem(const fs::path& folder, uint64_t seed) {
  const auto name = fmt::format("{:06d}", seed);
  return seed < 10000 ? folder / name : folder / fmt::format("{:03d}", seed / 1000) / name;
}

fs::path with_ending(fs::path path, const char* ending) { return path += ending; }

// Waits for a folder's lock and holds it.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& path)
      : folder_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (folder_ >= 0) flock(folder_, LOCK_EX);
  }
  ~FolderLock() {
    if (folder_ >= 0) ::close(folder_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int folder_;
};

// What records of version 0.1.0 lack.
const std::set<std::string> kNew = {"model", "diffusion", "guide_model", "guide_diffusion"};

std::vector<uint64_t> listed(const nlohmann::json& record, const std::string& key) {
  const auto text = record.value(key, "");
  return text.empty() ? std::vector<uint64_t>() : parse_seeds(text);
}

// The first setting that differs, or "".
std::string difference(const nlohmann::json& before, const nlohmann::json& now) {
  for (const auto& [key, value] : now.items()) {
    if (kFree.count(key) || (kNew.count(key) && !before.contains(key))) continue;
    if (before.value(key, nlohmann::json()) != value) return key;
  }
  for (const auto* key : {"init_fingerprint",
                          "invert_fingerprint",
                          "mask_fingerprint",
                          "interpolate",
                          "guide_sha256"})
    if (before.contains(key) && !now.contains(key)) return key;
  return "";
}

}  // namespace

std::vector<uint64_t> parse_seeds(const std::string& text) {
  constexpr uint64_t kMostSeeds = 100'000'000;
  constexpr uint64_t kSeedsEnd = uint64_t{1} << 32;  // LibTorch's CPU generator takes 32 bits
  const auto bad = [&](const std::string& why = "wants numbers and ranges, as 0-63,100") {
    return std::invalid_argument(fmt::format("--seeds {}: {}", text, why));
  };
  const auto number = [&](const std::string& word) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (word.empty() || error != std::errc() || end != word.data() + word.size()) throw bad();
    return value;
  };
  std::vector<uint64_t> seeds;
  std::set<uint64_t> known;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const auto dash = word.find('-');
    const auto first = number(word.substr(0, dash));
    const auto last = dash == std::string::npos ? first : number(word.substr(dash + 1));
    if (last < first) throw bad(fmt::format("{} runs backwards", word));
    if (last >= kSeedsEnd) throw bad(fmt::format("seeds end at {}", kSeedsEnd - 1));
    if (last - first >= kMostSeeds) throw bad(fmt::format("at most {} at a time", kMostSeeds));
    for (uint64_t seed = first; seed <= last; ++seed)
      if (known.insert(seed).second) seeds.push_back(seed);
  }
  if (seeds.empty()) throw bad();
  return seeds;
}

std::string seeds_text(const std::set<uint64_t>& seeds) {
  std::string text;
  for (auto i = seeds.begin(); i != seeds.end();) {
    const uint64_t first = *i;
    uint64_t last = first;
    while (++i != seeds.end() && *i == last + 1) last = *i;
    text += (text.empty() ? "" : ",") +
            (first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last));
  }
  return text;
}

fs::path picture_path(const fs::path& folder, uint64_t seed) {
  return with_ending(stem(folder, seed), ".png");
}
fs::path trajectory_path(const fs::path& folder, uint64_t seed) {
  return with_ending(stem(folder, seed), "_trajectory.png");
}
fs::path noise_path(const fs::path& folder, uint64_t seed) {
  return with_ending(stem(folder, seed), "_noise.safetensors");
}

SampleFolder::SampleFolder(fs::path path, nlohmann::json settings, std::string ids_key)
    : path_(std::move(path)), settings_(std::move(settings)), ids_key_(std::move(ids_key)) {}

void SampleFolder::open(const std::vector<uint64_t>& ids, bool overwrite) {
  record_ = settings_;
  const auto file = path_ / "samples.json";
  if (fs::exists(file)) {
    const auto before = formats::read_json(file);
    const auto other = difference(before, settings_);
    if (!other.empty() && !overwrite)
      throw std::invalid_argument(fmt::format(
          "{}: holds pictures drawn with another {}; choose another --out or pass --overwrite",
          path_.string(),
          other));
    auto known = listed(before, before.contains("frames") ? "frames" : "seeds");
    const auto begun = listed(before, "missing");
    known.insert(known.end(), begun.begin(), begun.end());
    for (const auto id : known) {
      if (!other.empty())
        for (const auto& stale :
             {picture_path(path_, id), trajectory_path(path_, id), noise_path(path_, id)})
          fs::remove(stale);
      else if (fs::exists(picture_path(path_, id)))
        drawn_.insert(id);
      else
        missing_.insert(id);
    }
    if (other.empty() && !overwrite)
      for (const auto* key : {"seconds", "images_per_sec"})
        if (before.contains(key)) record_[key] = before[key];
  }
  formats::make_folder(path_);
  for (const auto id : ids)
    if (!overwrite && !drawn_.count(id) && fs::exists(picture_path(path_, id)))
      throw std::invalid_argument(fmt::format(
          "{}: not of this command's drawing, as no samples.json beside it tells; choose "
          "another --out or pass --overwrite",
          picture_path(path_, id).string()));
}

void SampleFolder::begin(const std::vector<uint64_t>& ids) {
  for (const auto id : ids) {
    if (fs::exists(picture_path(path_, id)))
      drawn_.insert(id);
    else
      missing_.insert(id);
    if (id >= 10000) formats::make_folder(picture_path(path_, id).parent_path());
  }
  write();
}

void SampleFolder::add(const std::vector<uint64_t>& ids) {
  for (const auto id : ids) {
    drawn_.insert(id);
    missing_.erase(id);
  }
  write();
}

void SampleFolder::add_time(int64_t images, double seconds) {
  if (images == 0) return;
  const double before_sec = record_.value("seconds", 0.0);
  const double before = before_sec * record_.value("images_per_sec", 0.0);
  record_["seconds"] = before_sec + seconds;
  record_["images_per_sec"] = (before + static_cast<double>(images)) / (before_sec + seconds);
}

void SampleFolder::finish(const nlohmann::json& more) {
  record_.update(more);
  write();
}

void SampleFolder::write() {
  // Others may generate other seeds into the same folder at the same time: theirs stay listed.
  const auto file = path_ / "samples.json";
  const FolderLock lock(path_);
  auto missing = missing_;
  if (fs::exists(file)) {
    const auto there = formats::read_json(file);
    if (difference(there, settings_).empty()) {
      for (const auto id : listed(there, ids_key_)) drawn_.insert(id);
      for (const auto id : listed(there, "missing")) missing.insert(id);
    }
  }
  for (const auto id : drawn_) missing.erase(id);
  record_[ids_key_] = seeds_text(drawn_);
  record_.erase("missing");
  if (!missing.empty()) record_["missing"] = seeds_text(missing);
  record_["finished"] = missing.empty();
  formats::write_json(file, record_);
}

}  // namespace uvic::app
