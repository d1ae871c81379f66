#include "data/image_listing.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "data/class_files.h"
#include "data/dataset_json.h"
#include "data/formats/file_error.h"
#include "data/formats/image_file.h"

namespace uvic::data {
namespace {

constexpr size_t kNamedFiles = 3;          // files that a note names
constexpr size_t kDigitsOfOurFolders = 3;  // 012/012345.png of uvic sample

/// Image files that are known by their ending and not read.
constexpr std::string_view kOtherImages[] = {
    "tif", "tiff", "gif", "heic", "heif", "avif", "jxl", "jp2", "j2k", "ppm", "pgm",
    "pbm", "pnm",  "psd", "svg",  "ico",  "tga",  "exr", "hdr", "raw", "dng", "cr2"};

std::string ending_of(std::string_view path) {
  const auto name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) return "";
  std::string ending(name.substr(dot + 1));
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

bool is_readable_image(const std::string& ending) {
  const auto& endings = formats::image_endings();
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

bool is_other_image(const std::string& ending) {
  return std::find(std::begin(kOtherImages), std::end(kOtherImages), ending) !=
         std::end(kOtherImages);
}

/// Files that systems leave behind: .DS_Store, ._a.png, __MACOSX/.
bool is_hidden(std::string_view path) {
  for (size_t begin = 0; begin < path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto part = path.substr(begin, end - begin);
    if (part.substr(0, 1) == "." || part == "__MACOSX") return true;
    begin = end + 1;
  }
  return false;
}

/// Files that are no images of the set, by reason: how many, and the first few by name.
class LeftOut {
 public:
  void add(const std::string& reason, const std::string& path) {
    auto& files = reasons_[reason];
    ++files.count;
    files.first.insert(path);
    if (files.first.size() > kNamedFiles) files.first.erase(std::prev(files.first.end()));
  }

  std::vector<std::string> notes() const {
    std::vector<std::string> notes;
    for (const auto& [reason, files] : reasons_)
      notes.push_back(fmt::format("{} file{} left out ({}): {}{}",
                                  files.count,
                                  files.count == 1 ? "" : "s",
                                  reason,
                                  fmt::join(files.first, ", "),
                                  files.count > files.first.size() ? ", ..." : ""));
    return notes;
  }

 private:
  struct Files {
    size_t count = 0;
    std::set<std::string> first;
  };
  std::map<std::string, Files> reasons_;
};

/// The folders that both paths begin with: "data/train/" of data/train/a/1.png and
/// data/train/b/2.png.
std::string_view common_folder(std::string_view a, std::string_view b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const auto common = a.substr(0, static_cast<size_t>(end.first - a.begin()));
  return common.substr(0, common.rfind('/') + 1);  // npos + 1 is 0
}

/// Those that all paths of a sorted list begin with.
std::string common_folder(const FileList& files) {
  return std::string(common_folder(files.path(0), files.path(files.size() - 1)));
}

std::optional<int64_t> number_of(std::string_view digits) {
  int64_t value = -1;
  const auto* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || value < 0) return std::nullopt;
  return value;
}

/// Whether image 12345 is in folder 12, or in folder 12000: 012/012345.png of uvic sample,
/// 00012/img00012345.png of EDM's dataset_tool, 012000/012345.png of its generate.py.
bool is_in_folder_of_thousand(std::string_view folder, std::string_view path) {
  const auto name = path.substr(path.rfind('/') + 1);
  const auto first = std::min(name.find_first_of("0123456789"), name.size());
  const auto image = number_of(name.substr(first, name.rfind('.') - first)), of = number_of(folder);
  return folder.size() >= 3 && image && of &&
         (*of == *image / 1000 || *of == *image - *image % 1000);
}

/// Everything in a container, sorted by what it is for.
struct Contents {
  FileList images;
  std::vector<std::string> other_images;                     // paths; of kinds that are not read
  std::set<std::string> folders;                             // that hold anything, or nothing
  std::map<std::string, std::string> folders_left_out;       // and why
  std::unordered_map<std::string, StoredFile> dataset_json;  // by path
  std::unordered_map<std::string, StoredFile> classes;       // .cls files, by path without ending
  std::unordered_map<std::string, StoredFile> json_files;    // the same of .json, packed by key
  LeftOut left_out;
  std::string last_folder;  // of the file before: most come folder by folder
};

void sort_file(StoredFile&& file, bool packs_by_key, Contents& contents) {
  if (file.path.empty()) return;
  const auto& path = file.path;
  const auto ending = ending_of(path);
  if (is_hidden(path)) {
    if (path.back() != '/') contents.left_out.add("hidden", path);
    return;
  }
  if (!file.left_out.empty()) {
    contents.left_out.add(file.left_out, path);
    if (path.back() == '/') contents.folders_left_out[path] = file.left_out;
  }
  if (const auto folder = path.substr(0, path.rfind('/') + 1); folder != contents.last_folder) {
    for (auto slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1))
      contents.folders.insert(path.substr(0, slash + 1));
    contents.last_folder = folder;
  }
  if (!file.left_out.empty() || path.back() == '/') return;
  if (is_readable_image(ending)) {
    contents.images.add(file);
  } else if (path == "dataset.json" ||
             (path.size() > 13 && path.substr(path.size() - 13) == "/dataset.json")) {
    contents.dataset_json.emplace(path, file);
  } else if (ending == "cls") {
    contents.classes.emplace(path_key(path), file);
  } else if (packs_by_key && ending == "json") {
    contents.json_files.emplace(path_key(path), file);
  } else {
    if (is_other_image(ending)) contents.other_images.push_back(path);
    contents.left_out.add(ending.empty() ? "no ending" : "." + ending + " is not read", path);
  }
}

Contents sort_contents(const FileContainer& container) {
  Contents contents;
  const bool packs_by_key = container.packs_by_key();
  container.list([&](StoredFile&& file) { sort_file(std::move(file), packs_by_key, contents); });
  auto& images = contents.images;
  images.sort();
  for (size_t i = 0; i + 1 < images.size(); ++i)
    if (images.path(i) == images.path(i + 1))
      throw formats::file_error(container.name(),
                                fmt::format("holds {} twice; pack it again", images.path(i)));
  return contents;
}

void refuse_no_images(const FileContainer& container, const Contents& contents) {
  std::vector<std::string> endings;
  for (const auto& ending : formats::image_endings()) endings.push_back("." + ending);
  const auto notes = contents.left_out.notes();
  throw std::runtime_error(
      fmt::format("{}: no images in this {}; looked for {} in it and its subfolders{}{}",
                  container.name(),
                  container.kind(),
                  fmt::join(endings, ", "),
                  notes.empty() ? "" : "; ",
                  fmt::join(notes, "; ")));
}

/// The note where numbered class folders have other indices than their numbers' order gives.
void note_numbered_classes(Listing& listing) {
  std::vector<int64_t> numbers;
  for (const auto& name : listing.class_names) {
    const auto value = number_of(name);
    if (!value) return;
    numbers.push_back(*value);
  }
  const auto out_of_order = std::is_sorted_until(numbers.begin(), numbers.end());
  if (out_of_order == numbers.end()) return;
  const auto index = out_of_order - numbers.begin();
  listing.notes.push_back(
      fmt::format("class folders are numbered in the order of their names, as torchvision does: "
                  "folder {} is class {}",
                  listing.class_names[index],
                  index));
}

/// Throws where a folder next to the class folders has no image that can be read.
void check_class_folders(const FileContainer& container,
                         const Contents& contents,
                         const std::string& common,
                         const std::set<std::string>& classes) {
  for (const auto& folder : contents.folders) {
    if (folder.size() <= common.size() || folder.compare(0, common.size(), common) != 0) continue;
    const auto name = folder.substr(common.size(), folder.size() - common.size() - 1);
    if (name.find('/') != std::string::npos || classes.count(name)) continue;
    std::string why;
    const auto reason = contents.folders_left_out.find(folder);
    if (reason != contents.folders_left_out.end()) why = fmt::format(" ({})", reason->second);
    for (const auto& path : contents.other_images)
      if (why.empty() && path.compare(0, folder.size(), folder) == 0)
        why = fmt::format(" (it has {})", path);
    throw formats::file_error(
        container.name(),
        fmt::format("{} is a folder next to the class folders without an image that can be "
                    "read{}; without it the classes after it would be renumbered: convert its "
                    "images, or move it away",
                    folder,
                    why));
  }
}

void label_by_folder(const FileContainer& container,
                     const Contents& contents,
                     const std::string& common,
                     Listing& listing) {
  const auto& files = listing.files;
  const auto folder_of = [&](std::string_view path) {
    const auto slash = path.find('/', common.size());
    return slash == std::string_view::npos ? std::string_view()
                                           : path.substr(common.size(), slash - common.size());
  };
  std::set<std::string> names;
  std::string_view outside, inside, last;
  bool only_thousands = true;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto path = files.path(i), folder = folder_of(path);
    if (folder.empty()) {
      outside = path;
      continue;
    }
    if (folder != last) names.emplace(folder);
    inside = path, last = folder;
    only_thousands = only_thousands && is_in_folder_of_thousand(folder, path);
  }
  if (only_thousands) {
    // Class folders 000, 001, ... with images numbered through would look the same.
    if (names.size() > 1 && names.begin()->size() != kDigitsOfOurFolders)
      listing.notes.push_back(
          fmt::format("folders {}, {}, ... hold the images of a thousand numbers each: taken as "
                      "parts of one set without labels, not as classes",
                      *names.begin(),
                      *std::next(names.begin())));
    return;
  }
  if (!outside.empty() && !inside.empty())
    throw formats::file_error(
        container.name(),
        fmt::format("{} is in a subfolder and {} is not; make every subfolder a class with its "
                    "images inside, or put all images into one folder",
                    inside,
                    outside));
  check_class_folders(container, contents, common, names);
  listing.class_names.assign(names.begin(), names.end());
  listing.labels.reserve(files.size());
  for (size_t i = 0; i < files.size(); ++i) {
    const auto at = std::lower_bound(
        listing.class_names.begin(), listing.class_names.end(), folder_of(files.path(i)));
    listing.labels.push_back(static_cast<int32_t>(at - listing.class_names.begin()));
  }
  note_numbered_classes(listing);
  for (auto& name : listing.class_names) name = container.name_of_class(name);
}

/// The folder that holds the class folders, given the one that all readable images share: a folder
/// next to it with images of kinds that are not read is a class too.
std::string with_unread_classes(const std::string& shared,
                                const std::vector<std::string>& other_images) {
  std::string common = shared;
  for (const auto& path : other_images) {
    const auto both = common_folder(shared, path);
    if (both.size() < common.size() && path.find('/', both.size()) != std::string::npos)
      common = std::string(both);
  }
  return common;
}

/// Notes of files that are no images of the set, and of folders without any.
void note_left_out(const Contents& contents, Listing& listing) {
  const auto notes = contents.left_out.notes();
  listing.notes.insert(listing.notes.end(), notes.begin(), notes.end());
  std::set<std::string> without = contents.folders;
  for (size_t i = 0; i < listing.files.size() && !without.empty(); ++i) {
    const auto path = listing.files.path(i);
    for (auto slash = path.rfind('/'); slash != std::string_view::npos && slash > 0;
         slash = path.rfind('/', slash - 1))
      if (without.erase(std::string(path.substr(0, slash + 1))) == 0)
        break;  // the folders above are gone too
  }
  if (without.empty()) return;
  listing.notes.push_back(fmt::format("{} folder{} without an image: {}{}",
                                      without.size(),
                                      without.size() == 1 ? "" : "s",
                                      *without.begin(),
                                      without.size() > 1 ? ", ..." : ""));
}

}  // namespace

bool is_image_path(std::string_view path) {
  return !is_hidden(path) && is_readable_image(ending_of(path));
}

std::string_view path_key(std::string_view path, bool last_dot) {
  const auto name_at = path.rfind('/') + 1;  // npos + 1 is 0
  const auto dot = last_dot ? path.rfind('.') : path.find('.', name_at);
  return dot == std::string_view::npos || dot < name_at ? path : path.substr(0, dot);
}

Listing list_images(const FileContainer& container) {
  auto contents = sort_contents(container);
  if (contents.images.empty()) refuse_no_images(container, contents);
  Listing listing;
  listing.files = std::move(contents.images);

  const auto shared = common_folder(listing.files);
  const auto common = with_unread_classes(shared, contents.other_images);
  for (size_t length = 0;; length = shared.find('/', length) + 1) {
    const auto json_file = contents.dataset_json.find(shared.substr(0, length) + "dataset.json");
    if (json_file != contents.dataset_json.end()) {
      label_by_json(container, json_file->second, listing);
      break;
    }
    if (length == shared.size()) {
      if (label_by_class_files(container, contents.classes, listing)) break;
      if (label_by_json_files(container, contents.json_files, listing)) break;
      for (const auto& [key, file] : contents.json_files)
        contents.left_out.add(".json is not read", file.path);
      label_by_folder(container, contents, common, listing);
      break;
    }
  }
  note_left_out(contents, listing);
  return listing;
}

}  // namespace uvic::data
