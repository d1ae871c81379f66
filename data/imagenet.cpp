#include "data/imagenet.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <stdexcept>
#include <unordered_map>

#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/image_folder.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostListBytes = size_t{1} << 26;

fs::path class_list(const fs::path& folder) {
  std::error_code error;
  for (const auto* name : {"LOC_synset_mapping.txt", "synset_words.txt"})
    if (fs::is_regular_file(folder / name, error)) return folder / name;
  return {};
}

/// Empty: it is not there.
fs::path part_folder(const fs::path& folder, const std::string& part) {
  std::error_code error;
  for (const auto* place : {"ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "."})
    if (const auto path = (folder / place / part).lexically_normal(); fs::is_directory(path, error))
      return path;
  return {};
}

/// "n01440764"
bool is_wordnet_number(std::string_view word) {
  return word.size() == 9 && word[0] == 'n' &&
         word.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

/// Names by WordNet number.
std::map<std::string, std::string> read_names(const fs::path& path) {
  std::map<std::string, std::string> names;
  std::map<std::string, int> counts;
  std::istringstream lines(formats::read_file(path, kMostListBytes));
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty()) continue;
    const auto key = line.substr(0, 9);
    if (!is_wordnet_number(key) || line.size() < 11 || line[9] != ' ' || names.count(key))
      throw formats::file_error(
          path.string(),
          fmt::format("line {}: want \"n01440764 tench, Tinca tinca\", each number once", number));
    auto& name = names[key];
    name = line.substr(10, line.find(',') == std::string::npos ? line.npos : line.find(',') - 10);
    ++counts[name];
  }
  for (auto& [key, name] : names)
    if (counts[name] > 1) name += fmt::format(" ({})", key);
  return names;
}

/// Classes of the validation images, by name without ending: "ILSVRC2012_val_00000001" of the lines
/// "ILSVRC2012_val_00000001,n03995372 85 1 499 272 ...".
std::unordered_map<std::string, std::string> read_solution(const fs::path& path) {
  std::unordered_map<std::string, std::string> classes;
  std::istringstream lines(formats::read_file(path, kMostListBytes));
  std::string line;
  std::getline(lines, line);  // the head
  for (size_t number = 2; std::getline(lines, line); ++number) {
    if (line.empty() || line == "\r") continue;
    const auto comma = line.find(',');
    const auto word = comma == std::string::npos ? "" : line.substr(comma + 1, 9);
    if (comma == 0 || !is_wordnet_number(word))
      throw formats::file_error(
          path.string(),
          fmt::format("line {}: want \"ILSVRC2012_val_00000001,n03995372 ...\"", number));
    classes[line.substr(0, comma)] = word;
  }
  return classes;
}

/// Another folder's files, those of `classes` as if they were in folders of their classes.
class ImageNetPart : public FileContainer {
 public:
  ImageNetPart(const fs::path& folder,
               std::map<std::string, std::string> names,
               std::unordered_map<std::string, std::string> classes)
      : files_(open_image_folder(folder)), names_(std::move(names)), classes_(std::move(classes)) {}

  std::string kind() const override { return files_->kind(); }
  std::string name() const override { return files_->name(); }

  void list(const Take& take) const override {
    files_->list([&](StoredFile&& file) {
      const auto found = classes_.find(std::string(path_key(file.path)));
      if (found != classes_.end())
        file.path = found->second + "/" + file.path;
      else if (!classes_.empty() && is_image_path(file.path))
        throw formats::file_error(
            name(), fmt::format("{} has no class in LOC_val_solution.csv", file.path));
      take(std::move(file));
    });
  }

  std::string read(const StoredFile& file) const override { return files_->read(stored(file)); }
  uint32_t checksum(const StoredFile& file) const override {
    return files_->checksum(stored(file));
  }
  bool knows_checksums() const override { return files_->knows_checksums(); }
  std::string name_of_class(const std::string& folder) const override {
    const auto found = names_.find(folder);
    return found == names_.end() ? folder : found->second;
  }

 private:
  StoredFile stored(StoredFile file) const {
    if (!classes_.empty()) file.path = file.path.substr(file.path.find('/') + 1);
    return file;
  }

  std::unique_ptr<FileContainer> files_;
  std::map<std::string, std::string> names_;
  std::unordered_map<std::string, std::string> classes_;
};

/// Whether the part has folders of classes.
bool has_class_folders(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (is_wordnet_number(entry.path().filename().string()) && entry.is_directory(error))
      return true;
  return false;
}

}  // namespace

bool is_imagenet(const fs::path& folder) {
  return !class_list(folder).empty() &&
         (!part_folder(folder, "train").empty() || !part_folder(folder, "val").empty());
}

std::unique_ptr<FileContainer> open_imagenet(const fs::path& folder, const std::string& part) {
  const auto images = part_folder(folder, part);
  if (images.empty())
    throw std::runtime_error(fmt::format(
        "{}: has no part {} (looked for it in ILSVRC/Data/CLS-LOC, Data/CLS-LOC and itself)",
        folder.string(),
        part));
  std::unordered_map<std::string, std::string> classes;
  if (!has_class_folders(images)) {
    const auto solution = folder / "LOC_val_solution.csv";
    std::error_code error;
    if (part != "val" || !fs::is_regular_file(solution, error))
      throw std::runtime_error(
          fmt::format("{}: no folders of classes (n01440764, ...){}",
                      images.string(),
                      part == "val" ? ", and no LOC_val_solution.csv in " + folder.string() : ""));
    classes = read_solution(solution);
  }
  return std::make_unique<ImageNetPart>(images, read_names(class_list(folder)), std::move(classes));
}

}  // namespace uvic::data
