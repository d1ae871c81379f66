#include "app/runs/run_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "app/runs/append_file.h"
#include "app/runs/run_identity.h"
#include "app/runs/run_parts.h"
#include "app/runs/tensorboard_log.h"
#include "base/progress_line.h"
#include "data/formats/atomic_file.h"
#include "data/formats/flush.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/output_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

std::string numbered(int64_t images_seen, const char* extension) {
  return fmt::format("{:09d}{}", images_seen, extension);
}

/// The number in "PREFIX000064000EXTENSION", or nothing.
std::optional<int64_t> number_in(const fs::path& path,
                                 const std::string& prefix,
                                 const std::string& extension) {
  const auto name = path.filename().string();
  if (name.size() <= prefix.size() + extension.size() || name.rfind(prefix, 0) != 0 ||
      name.compare(name.size() - extension.size(), extension.size(), extension) != 0)
    return std::nullopt;
  const auto *begin = name.data() + prefix.size(),
             *end = name.data() + name.size() - extension.size();
  int64_t number = 0;
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || stop != end || number < 0) return std::nullopt;
  return number;
}

/// Files of that form in `folder`, by number.
std::vector<NumberedFile> numbered_files(const fs::path& folder,
                                         const std::string& prefix,
                                         const std::string& extension) {
  std::vector<NumberedFile> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (const auto number = number_in(entry.path(), prefix, extension))
      files.push_back({*number, entry.path()});
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return a.images_seen < b.images_seen;
  });
  return files;
}

bool has_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

StateFile state_file(const fs::path& path) {
  const auto metadata = read_metadata(path);
  const auto images = count_in(metadata, "uvic.images_seen");
  if (!images)
    throw std::runtime_error(fmt::format(
        "{}: no usable uvic.images_seen in its metadata; the file is damaged", path.string()));
  StateFile state;
  state.images_seen = *images;
  state.path = path;
  const auto sane = metadata.find("uvic.loss_is_sane");
  state.is_sane = sane == metadata.end() || sane->second != "false";
  return state;
}

/// The same, or nothing where a process that trains in the folder has dropped the file since it was
/// listed.
std::optional<StateFile> state_file_if_kept(const fs::path& path) {
  try {
    return state_file(path);
  } catch (const std::exception&) {
    if (has_file(path)) throw;
    return std::nullopt;
  }
}

/// Also flushes the names of the folders that are made: files that are flushed later would be lost
/// with their folder.
void make_durable_folder(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> above;
  for (auto made = fs::absolute(folder, error);
       made.has_relative_path() && !fs::exists(made, error);
       made = made.parent_path())
    above.push_back(made.parent_path());
  formats::make_folder(folder);
  for (const auto& path : above) formats::flush_to_disk(path);
}

void move_into(const fs::path& path, const fs::path& folder) {
  fs::create_directories(folder);
  fs::rename(path, folder / path.filename());
}

/// Whether a launch that was killed before run.json was there has left this file: a log or
/// statistics without a line, or what was to become one of the three.
bool is_left_of_start(const fs::directory_entry& file) {
  const auto name = file.path().filename().string();
  std::error_code error;
  for (const std::string own : {"log.txt", "stats.jsonl", "run.json"})
    if (name.rfind(own + ".uvic", 0) == 0 ||
        (name == own && file.is_regular_file(error) && file.file_size(error) == 0))
      return true;
  return false;
}

/// What makes a folder worth a refusal: anything that no run folder holds, except hidden files.
std::string stranger_in(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto name = entry.path().filename().string();
    const bool ours = name[0] == '.' || name == "abandoned" || is_left_of_start(entry) ||
                      ((name == "weights" || name == "averages" || name == "grids") &&
                       entry.is_directory(error) && fs::is_empty(entry, error));
    if (!ours) return name;
  }
  return "";
}

/// Takes the lock of a folder and opens the folder, both until the process ends. Once for each
/// folder, by whatever name. Returns the folder's descriptor, or -1 where it can't be opened.
int hold(const fs::path& folder) {
  static std::map<std::pair<dev_t, ino_t>, int> held;
  const auto name = folder / ".lock";
  const int lock = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
  struct stat status = {};
  if (lock < 0 || fstat(lock, &status) != 0)
    throw std::runtime_error(
        fmt::format("{}: can't be written: {}", name.string(), std::strerror(errno)));
  const auto [entry, is_new] = held.try_emplace({status.st_dev, status.st_ino}, -1);
  if (!is_new) {
    ::close(lock);
    return entry->second;
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    held.erase(entry);
    ::close(lock);
    throw std::runtime_error(
        fmt::format("{}: another process trains in this folder", folder.string()));
  }
  return entry->second = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

}  // namespace

bool RunDir::is_run() const {
  return has_file(provenance()) || has_file(state()) || !checkpoints().empty() ||
         !numbered_files(path(), "state-", ".safetensors").empty();
}

void RunDir::refuse_other_files() const {
  if (const auto stranger = is_run() ? "" : stranger_in(path()); !stranger.empty())
    throw std::invalid_argument(
        fmt::format("{}: is not a run folder and holds other files ({}); choose an empty or a new "
                    "folder as --out",
                    path().string(),
                    stranger));
}

void RunDir::open_for_training() {
  formats::refuse_flag_as_path(path_);
  refuse_other_files();
  make_folders();
  folder_ = hold(path_);
}

void RunDir::make_folders() const {
  for (const auto* folder : {"weights", "grids"}) make_durable_folder(path() / folder);
}

fs::path RunDir::path() const {
  struct stat named = {}, open = {};
  if (folder_ < 0 || fstat(folder_, &open) != 0) return path_;
  const bool is_there = stat(path_.c_str(), &named) == 0;
  if (is_there && named.st_dev == open.st_dev && named.st_ino == open.st_ino) return path_;
  std::error_code error;
  const auto moved = fs::read_symlink(fmt::format("/proc/self/fd/{}", folder_), error);
  return !error && fs::is_directory(moved, error) ? moved : path_;
}

fs::path RunDir::weights(int64_t images_seen) const {
  return path() / "weights" / numbered(images_seen, ".safetensors");
}

fs::path RunDir::grid(int64_t images_seen) const {
  return path() / "grids" / numbered(images_seen, ".png");
}

fs::path RunDir::average(int64_t images_seen, double width) const {
  return path() / "averages" / numbered(images_seen, fmt::format("-{}.safetensors", width).c_str());
}

void RunDir::make_averages_folder() const { make_durable_folder(path() / "averages"); }

fs::path RunDir::kept_state(int64_t images_seen) const {
  return path() / ("state-" + numbered(images_seen, ".safetensors"));
}

std::vector<NumberedFile> RunDir::checkpoints() const {
  return numbered_files(path() / "weights", "", ".safetensors");
}

std::vector<AverageFile> RunDir::averages() const {
  std::vector<AverageFile> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path() / "averages", error)) {
    const auto name = entry.path().filename().string();
    const auto dash = name.find('-');
    if (dash == std::string::npos) continue;
    AverageFile file;
    file.width = std::strtod(name.c_str() + dash + 1, nullptr);
    file.images_seen = number_in(entry.path(), "", name.substr(dash)).value_or(0);
    file.path = entry.path();
    if (average(file.images_seen, file.width).filename() == name) files.push_back(file);
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return std::tie(a.images_seen, a.width) < std::tie(b.images_seen, b.width);
  });
  return files;
}

std::vector<StateFile> RunDir::states() const {
  std::vector<StateFile> states;
  if (has_file(state())) states.push_back(state_file(state()));
  auto kept = numbered_files(path(), "state-", ".safetensors");
  std::reverse(kept.begin(), kept.end());
  for (const auto& file : kept)
    if (auto state = state_file_if_kept(file.path)) states.push_back(std::move(*state));
  return states;
}

fs::path RunDir::state_at(int64_t images_seen) const {
  for (const auto& state : states())
    if (state.images_seen == images_seen) return state.path;
  return {};
}

fs::path RunDir::latest_weights() const {
  const auto all =
      checkpoints();  // listed before the state is read: a run that trains saves it first
  if (all.empty())
    throw std::runtime_error(fmt::format(
        "{}: no weights/*.safetensors; is this a run folder that has reached a checkpoint?",
        path().string()));
  check_weights_of_run(*this, all.back());
  return all.back().path;
}

void RunDir::keep_latest_state() const {
  if (!has_file(state())) return;
  const auto kept = kept_state(state_file(state()).images_seen);
  if (has_file(kept)) return;
  std::error_code error;
  fs::create_hard_link(state(), kept, error);
  // A file system without hard links: until the save ends, the kept one is the latest (states()).
  if (error) fs::rename(state(), kept);
}

void RunDir::drop_old_states(int64_t count) const {
  auto all = states();
  if (all.empty()) return;
  const auto latest = all.front();
  all.erase(all.begin());
  std::stable_sort(
      all.begin(), all.end(), [](const auto& a, const auto& b) { return a.is_sane > b.is_sane; });
  for (size_t i = 0; i < all.size(); ++i)
    if (static_cast<int64_t>(i) >= count - 1 || all[i].images_seen == latest.images_seen)
      fs::remove(all[i].path);
}

fs::path RunDir::new_abandoned_folder() const {
  for (int number = 1;; ++number)
    if (auto folder = path() / "abandoned" / std::to_string(number); !has_file(folder))
      return folder;
}

fs::path RunDir::go_back_to(int64_t images_seen) const {
  const auto from = state_at(images_seen);
  if (from.empty()) {
    std::string kept;
    for (const auto& state : states())
      kept += fmt::format("{}{}", kept.empty() ? "" : ", ", state.images_seen);
    throw std::invalid_argument(
        fmt::format("--resume_from {}: {} keeps no state of so many images; kept are {}",
                    images_seen,
                    path().string(),
                    kept.empty() ? "none" : kept));
  }
  const auto folder = new_abandoned_folder();
  std::vector<std::pair<fs::path, fs::path>> moves;
  for (const auto& file : checkpoints())
    if (file.images_seen > images_seen) moves.emplace_back(file.path, folder / "weights");
  for (const auto& file : averages())
    if (file.images_seen > images_seen) moves.emplace_back(file.path, folder / "averages");
  for (const char* ending : {".png", ".txt"})  // of images, and of sequences
    for (const auto& file : numbered_files(path() / "grids", "", ending))
      if (file.images_seen > images_seen) moves.emplace_back(file.path, folder / "grids");
  for (const auto& file : numbered_files(path(), "state-", ".safetensors"))
    if (file.images_seen > images_seen) moves.emplace_back(file.path, folder);
  for (const auto& [path, to] : moves) move_into(path, to);
  if (from != state()) {
    if (has_file(state())) move_into(state(), folder);
    fs::rename(from, state());
  }
  return has_file(folder) ? folder : fs::path();
}

fs::path RunDir::set_aside() const {
  const auto folder = new_abandoned_folder();
  std::error_code ignored;
  for (const auto* name : {"state.safetensors",
                           "weights",
                           "averages",
                           "grids",
                           "config.toml",
                           "run.json",
                           "stats.jsonl",
                           "log.txt"})
    if (has_file(path() / name)) move_into(path() / name, folder);
  for (const auto& file : numbered_files(path(), "state-", ".safetensors"))
    move_into(file.path, folder);
  for (const auto& file : event_files(path())) move_into(file, folder);
  make_folders();
  return has_file(folder) ? folder : fs::path();
}

void RunDir::append_stats(const nlohmann::json& line) const {
  if (is_anothers_) return;
  auto own = line;
  if (!run_id_.empty()) own["run_id"] = run_id_;
  append_to_file(stats(), own.dump() + "\n");
  if (tensorboard_) tensorboard_->add_stats(path(), own);
}

void RunDir::announce_grid(const fs::path& file, int64_t images_seen) const {
  if (!is_anothers_ && tensorboard_) tensorboard_->add_grid(path(), file, images_seen);
}

std::vector<nlohmann::json> RunDir::read_stats() const {
  std::vector<nlohmann::json> lines;
  std::error_code ignored;
  if (!fs::exists(stats(), ignored)) return lines;
  std::istringstream file(formats::read_file(stats()));
  for (std::string text; std::getline(file, text);) {
    auto line = formats::try_parse_json(text);
    if (line && line->is_object() && line->contains("images_seen") &&
        (*line)["images_seen"].is_number_integer())
      lines.push_back(std::move(*line));
  }
  return lines;
}

void RunDir::truncate_stats(int64_t images_seen) const {
  std::string kept;
  for (const auto& line : read_stats())
    if (line["images_seen"].get<int64_t>() <= images_seen) kept += line.dump() + "\n";
  formats::write_file_atomically(stats(), kept);
}

void RunDir::log(const std::string& line) const {
  if (is_anothers_) return;
  // Those of --init are indented, below what they are of.
  const auto text = line.substr(std::min(line.find_first_not_of(' '), line.size()));
  const bool matters = text.rfind("note: ", 0) == 0 || text.rfind("warning: ", 0) == 0;
  if (matters && base::progress_form() != base::ProgressForm::kText)
    std::fprintf(stderr, "%s\n", line.c_str());
  else
    base::say_progress(line);
  append_to_file(path() / "log.txt", line + "\n");
}

}  // namespace uvic::app
