#include "app/sampling/sample_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "data/formats/make_folder.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kFirstInFolder = 10000;
constexpr const char *kImage = ".png", *kTrajectory = "_trajectory.png",
                     *kNoise = "_noise.safetensors";

// What may differ between launches: what the images do not depend on.
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
                                     "guide",
                                     "assumed",
                                     "guide_assumed"};

// What records of version 0.1.0 lack.
const std::set<std::string> kNew = {
    "model", "diffusion", "guide_model", "guide_diffusion", "device", "instruction_set"};

fs::path file_path(const fs::path& folder, uint64_t seed, const char* ending) {
  const auto name = fmt::format("{:06d}{}", seed, ending);
  return seed < kFirstInFolder ? folder / name : folder / fmt::format("{:03d}", seed / 1000) / name;
}

/// The number that a word consists of, written as we write it.
std::optional<uint64_t> number_of(std::string_view word, size_t digits) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || word.size() < digits ||
      (word.size() > digits && word[0] == '0'))
    return std::nullopt;
  return value;
}

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

SeedSet listed(const nlohmann::json& record, const std::string& key, const fs::path& file) {
  const auto text = formats::text_field(record, key.c_str(), "", file.string());
  try {
    return text.empty() ? SeedSet() : SeedList::parse(text).set();
  } catch (const std::invalid_argument&) {
    throw formats::file_error(file.string(), fmt::format("\"{}\": no list of seeds", key));
  }
}

/// All that a record knows of: generated or begun.
SeedSet known_in(const nlohmann::json& record, const fs::path& file) {
  auto known = listed(record, record.contains("frames") ? "frames" : "seeds", file);
  known.insert_all(listed(record, "missing", file));
  return known;
}

/// "sampler_options.steps (2, now 3)" of the first field of an object that differs.
std::string named_difference(const std::string& key,
                             const nlohmann::json& before,
                             const nlohmann::json& now) {
  if (before.is_object() && now.is_object())
    for (const auto& [name, value] : now.items())
      if (!before.contains(name) || before[name] != value)
        return named_difference(fmt::format("{}.{}", key, name),
                                before.contains(name) ? before[name] : nlohmann::json(),
                                value);
  const auto text = [](const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  const auto was = text(before), is = text(now);
  return std::max(was.size(), is.size()) <= 40 ? fmt::format("{} ({}, now {})", key, was, is) : key;
}

/// A setting without the paths of encoders whose content is recorded too.
nlohmann::json without_paths(nlohmann::json setting) {
  if (!setting.is_object()) return setting;
  for (const auto* path : {"autoencoder", "text_encoder"})
    if (setting.contains(std::string(path) + "_sha256")) setting.erase(path);
  return setting;
}

// The first setting that differs, or "".
std::string difference(const nlohmann::json& before, const nlohmann::json& now) {
  for (const auto& [key, value] : now.items()) {
    if (kFree.count(key) || (kNew.count(key) && !before.contains(key))) continue;
    const auto there = without_paths(before.value(key, nlohmann::json()));
    const auto own = without_paths(value);
    if (there != own) return named_difference(key, there, own);
  }
  for (const auto* key : {"init_fingerprint",
                          "invert_fingerprint",
                          "mask_fingerprint",
                          "interpolate",
                          "guide_sha256"})
    if (before.contains(key) && !now.contains(key)) return key;
  return "";
}

nlohmann::json read_record(const fs::path& file) {
  auto record = formats::read_json(file);
  if (!record.is_object())
    throw std::runtime_error(fmt::format("{}: not a record of uvic sample", file.string()));
  return record;
}

}  // namespace

/// What is in the folder, by kind. Read in one pass: to ask for each of a hundred million seeds
/// would take minutes.
struct SampleFolder::Files {
  SeedSet images, trajectories, noises;
  bool grid = false;

  explicit Files(const fs::path& folder) {
    std::error_code ignored;
    grid = fs::exists(fs::symlink_status(folder / "grid.png", ignored));
    for (const auto& entry : fs::directory_iterator(folder)) {
      const auto name = entry.path().filename().string();
      if (const auto thousand = number_of(name, 3); thousand && entry.is_directory(ignored)) {
        for (const auto& inner : fs::directory_iterator(entry.path(), ignored))
          add(inner.path().filename().string(), *thousand);
      } else {
        add(name, std::nullopt);
      }
    }
  }

  /// Which of `ids` are there with all that belongs to them.
  SeedSet complete(const SeedSet& ids, const SampleParts& parts) const {
    auto found = ids.intersection(images);
    if (parts.trajectory) found = found.intersection(trajectories);
    if (parts.noise) found = found.intersection(noises);
    return found;
  }

 private:
  void add(const std::string& name, std::optional<uint64_t> thousand) {
    const auto end = std::min(name.find_first_not_of("0123456789"), name.size());
    const auto seed = number_of(std::string_view(name).substr(0, end), 6);
    if (!seed || (*seed >= kFirstInFolder) != thousand.has_value()) return;
    if (thousand && *seed / 1000 != *thousand) return;
    const auto ending = name.substr(end);
    if (ending == kImage) images.insert(*seed);
    if (ending == kTrajectory) trajectories.insert(*seed);
    if (ending == kNoise) noises.insert(*seed);
  }
};

fs::path sampled_image_path(const fs::path& folder, uint64_t seed) {
  return file_path(folder, seed, kImage);
}
fs::path trajectory_path(const fs::path& folder, uint64_t seed) {
  return file_path(folder, seed, kTrajectory);
}
fs::path noise_path(const fs::path& folder, uint64_t seed) {
  return file_path(folder, seed, kNoise);
}

SampleFolder::SampleFolder(fs::path path,
                           nlohmann::json settings,
                           std::string ids_key,
                           SampleParts parts,
                           std::string remedy)
    : path_(std::move(path)),
      settings_(std::move(settings)),
      ids_key_(std::move(ids_key)),
      remedy_(std::move(remedy)),
      parts_(parts) {}

SeedList SampleFolder::open(const SeedList& ids, bool overwrite) {
  formats::make_folder(path_);
  const FolderLock lock(path_);
  Files files(path_);
  const auto file = path_ / "samples.json";
  const auto wanted = ids.set();
  record_ = settings_;
  bool grid_is_ours = overwrite;
  if (fs::exists(file)) {
    const auto before = read_record(file);
    // Records of version 0.1.0 say nothing of the grid that came with them.
    grid_is_ours = grid_is_ours || formats::flag_field(before, "grid", true, file.string());
    if (take_over(before, files, overwrite)) files = Files(path_);
  }
  if (!overwrite) refuse_foreign(wanted, files, grid_is_ours);

  // Incomplete ones are generated again: as missing as those that are not there.
  const auto complete = files.complete(wanted, parts_);
  missing_.insert_all(wanted);
  missing_.erase_all(wanted.intersection(files.images));
  generated_.insert_all(wanted.intersection(files.images));
  record_["grid"] = parts_.grid || (files.grid && grid_is_ours && !overwrite);
  record_[ids_key_] = generated_.text();
  write();
  return overwrite ? ids : ids.without(complete);
}

/// Continues the record `before`, or removes what it lists and returns true.
bool SampleFolder::take_over(const nlohmann::json& before, const Files& files, bool overwrite) {
  const auto other = difference(before, settings_);
  if (!other.empty() && !overwrite)
    throw std::invalid_argument(fmt::format(
        "{}: holds images generated with another {}; {}", path_.string(), other, remedy_));
  const auto known = known_in(before, path_ / "samples.json");
  if (other.empty()) {
    generated_ = known.intersection(files.images);
    missing_ = known;
    missing_.erase_all(generated_);
    if (overwrite) return false;
    for (const auto* key : {"seconds", "images_per_sec"})
      if (before.contains(key)) record_[key] = before[key];
    return false;
  }
  const auto remove = [&](const SeedSet& stale, const char* ending) {
    for (const auto& range : known.intersection(stale).ranges())
      for (uint64_t id = range.first; id <= range.last; ++id)
        fs::remove(file_path(path_, id, ending));
  };
  remove(files.images, kImage);
  remove(files.trajectories, kTrajectory);
  remove(files.noises, kNoise);
  fs::remove(path_ / "samples.json");
  return true;
}

void SampleFolder::refuse_foreign(const SeedSet& ids, const Files& files, bool grid_is_ours) const {
  const auto refuse = [&](const fs::path& file) {
    throw std::invalid_argument(fmt::format(
        "{}: its samples.json does not say that uvic sample made it; {}", file.string(), remedy_));
  };
  const auto check = [&](const SeedSet& present, const char* ending) {
    auto foreign = ids.intersection(present);
    foreign.erase_all(generated_);
    foreign.erase_all(missing_);
    if (!foreign.empty()) refuse(file_path(path_, foreign.first(), ending));
  };
  check(files.images, kImage);
  if (parts_.trajectory) check(files.trajectories, kTrajectory);
  if (parts_.noise) check(files.noises, kNoise);
  if (parts_.grid && files.grid && !grid_is_ours) refuse(path_ / "grid.png");
}

void SampleFolder::add(const std::vector<uint64_t>& ids) {
  for (const auto id : ids) {
    generated_.insert(id);
    missing_.erase({id, id});
  }
  const FolderLock lock(path_);
  write();
}

void SampleFolder::add_time(int64_t images, double seconds) {
  if (images == 0) return;
  const auto file = (path_ / "samples.json").string();
  const double before_sec = formats::number_field(record_, "seconds", 0, file);
  const double before = before_sec * formats::number_field(record_, "images_per_sec", 0, file);
  record_["seconds"] = before_sec + seconds;
  record_["images_per_sec"] = (before + static_cast<double>(images)) / (before_sec + seconds);
}

void SampleFolder::finish(const nlohmann::json& more) {
  record_.update(more);
  const FolderLock lock(path_);
  write();
}

/// Under the folder's lock.
void SampleFolder::write() {
  // Others may generate other seeds into the same folder at the same time: theirs stay listed.
  const auto file = path_ / "samples.json";
  auto missing = missing_;
  if (fs::exists(file)) {
    const auto there = read_record(file);
    if (const auto other = difference(there, settings_); !other.empty())
      throw std::runtime_error(
          fmt::format("{}: another command has begun to generate here, with another {}",
                      path_.string(),
                      other));
    generated_.insert_all(listed(there, ids_key_, file));
    missing.insert_all(listed(there, "missing", file));
    if (formats::flag_field(there, "grid", false, file.string())) record_["grid"] = true;
  }
  missing.erase_all(generated_);
  record_[ids_key_] = generated_.text();
  record_.erase("missing");
  if (!missing.empty()) record_["missing"] = missing.text();
  record_["finished"] = missing.empty();
  formats::write_json(file, record_);
}

}  // namespace uvic::app
