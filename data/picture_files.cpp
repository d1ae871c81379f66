#include "data/picture_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "base/thread_loop.h"
#include "data/formats/file_error.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/sha256.h"
#include "data/resize.h"

namespace uvic::data {
namespace {

constexpr uint64_t kDecodeAtOnceBytes = uint64_t{256} << 20;
constexpr int64_t kMaxClasses = int64_t{1} << 20;

bool is_picture(std::string_view path) {
  const auto dot = path.rfind('.');
  if (dot == std::string_view::npos || dot + 5 < path.size()) return false;
  std::string ending(path.substr(dot + 1));
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending == "png" || ending == "jpg" || ending == "jpeg" || ending == "bmp";
}

/// Files that systems leave behind: .DS_Store, ._a.png, __MACOSX/.
bool is_hidden(std::string_view path) {
  return path.front() == '.' || path.find("/.") != std::string_view::npos ||
         path.substr(0, 9) == "__MACOSX/";
}

/// The folders that all paths begin with: "data/train/" of data/train/a/1.png and
/// data/train/b/2.png.
std::string common_folder(const std::vector<StoredFile>& files) {
  std::string_view common = files.front().path;
  for (const auto& file : files) {
    const auto end =
        std::mismatch(common.begin(), common.end(), file.path.begin(), file.path.end());
    common = common.substr(0, static_cast<size_t>(end.first - common.begin()));
  }
  const auto slash = common.rfind('/');
  return std::string(slash == std::string_view::npos ? "" : common.substr(0, slash + 1));
}

/// Whether picture 12345 stands in folder 12: 012/012345.png of uvic sample, 00012/img00012345.png
/// of EDM's tools.
bool is_in_folder_of_thousand(const std::string& folder, const std::string& path) {
  const auto number = [](std::string_view digits) -> int64_t {
    int64_t value = -1;
    const auto* end = digits.data() + digits.size();
    const auto result = std::from_chars(digits.data(), end, value);
    return result.ec == std::errc() && result.ptr == end ? value : -1;
  };
  const auto name = std::string_view(path).substr(path.rfind('/') + 1);
  const auto first = std::min(name.find_first_of("0123456789"), name.size());
  const int64_t picture = number(name.substr(first, name.rfind('.') - first));
  return folder.size() >= 3 && picture >= 0 && number(folder) == picture / 1000;
}

void label_by_folder(const FileContainer& container, size_t prefix, Listing& listing) {
  const auto folder_of = [&](const StoredFile& file) {
    const auto slash = file.path.find('/', prefix);
    return slash == std::string::npos ? std::string() : file.path.substr(prefix, slash - prefix);
  };
  std::set<std::string> names;
  const StoredFile *beside = nullptr, *inside = nullptr;
  bool only_thousands = true;
  for (const auto& file : listing.files) {
    const auto folder = folder_of(file);
    if (folder.empty()) {
      beside = &file;
      continue;
    }
    names.insert(folder), inside = &file;
    only_thousands = only_thousands && is_in_folder_of_thousand(folder, file.path);
  }
  if (only_thousands) return;
  if (beside && inside)
    throw formats::file_error(
        container.name(),
        fmt::format(
            "{} lies in a subfolder and {} beside it; make every subfolder a class with its "
            "pictures inside, or put all pictures side by side",
            inside->path,
            beside->path));

  listing.class_names.assign(names.begin(), names.end());
  for (const auto& file : listing.files) {
    const auto at =
        std::lower_bound(listing.class_names.begin(), listing.class_names.end(), folder_of(file));
    listing.labels.push_back(static_cast<int32_t>(at - listing.class_names.begin()));
  }
}

void label_by_json(const FileContainer& container, const StoredFile& json_file, Listing& listing) {
  const std::string name = container.name() + "/" + json_file.path;
  const size_t prefix = json_file.path.size() - std::strlen("dataset.json");
  const auto fail = [&](const std::string& what) { throw formats::file_error(name, what); };
  const auto json = formats::parse_json(container.read(json_file), name);
  if (!json.is_object()) fail("want an object with \"labels\"");
  const auto labels = json.find("labels");
  if (labels == json.end() || labels->is_null()) return;
  if (!labels->is_array())
    fail(fmt::format("labels is of type {}, want a list of [file, class] pairs or null",
                     labels->type_name()));

  std::unordered_map<std::string_view, int32_t> classes;
  int32_t highest = 0;
  for (const auto& pair : *labels) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string())
      fail(fmt::format("labels holds {}, want [file, class] pairs",
                       formats::format_json(pair).substr(0, 60)));
    const auto& file = pair[0].get_ref<const std::string&>();
    if (!pair[1].is_number_integer())
      fail(
          fmt::format("the class of {} is of type {}, want an integer", file, pair[1].type_name()));
    if (pair[1] < 0 || pair[1] >= kMaxClasses)
      fail(fmt::format(
          "the class of {} is {}, want 0 to {}", file, pair[1].dump(), kMaxClasses - 1));
    const auto label = pair[1].get<int32_t>();
    if (!classes.emplace(file, label).second) fail(fmt::format("labels names {} twice", file));
  }
  for (const auto& file : listing.files) {
    const auto found = classes.find(std::string_view(file.path).substr(prefix));
    if (found == classes.end()) fail(fmt::format("labels lacks {}", file.path.substr(prefix)));
    listing.labels.push_back(found->second);
    highest = std::max(highest, found->second);
  }

  for (int32_t c = 0; c <= highest; ++c) listing.class_names.push_back(std::to_string(c));
  const auto names = json.find("class_names");
  if (names == json.end() || !names->is_array() || names->size() <= static_cast<size_t>(highest) ||
      names->size() > static_cast<size_t>(kMaxClasses))
    return;
  listing.class_names.resize(names->size());
  for (size_t c = 0; c < names->size(); ++c)
    listing.class_names[c] =
        (*names)[c].is_string() ? (*names)[c].get<std::string>() : std::to_string(c);
}

}  // namespace

Listing list_pictures(const FileContainer& container) {
  std::unordered_map<std::string, StoredFile> json_files;
  Listing listing;
  for (auto& file : container.list()) {
    if (file.path.empty() || is_hidden(file.path)) continue;
    if (is_picture(file.path))
      listing.files.push_back(std::move(file));
    else if (file.path == "dataset.json" ||
             (file.path.size() > 13 && file.path.substr(file.path.size() - 13) == "/dataset.json"))
      json_files.emplace(file.path, file);
  }
  if (listing.files.empty())
    throw std::runtime_error(
        fmt::format("{}: no pictures in this {}; looked for .png, .jpg, .jpeg and .bmp in it and "
                    "its subfolders",
                    container.name(),
                    container.kind()));
  std::sort(listing.files.begin(), listing.files.end(), [](const auto& a, const auto& b) {
    return a.path < b.path;
  });

  const std::string common = common_folder(listing.files);
  for (size_t length = 0;; length = common.find('/', length) + 1) {
    const auto json_file = json_files.find(common.substr(0, length) + "dataset.json");
    if (json_file != json_files.end()) {
      label_by_json(container, json_file->second, listing);
      return listing;
    }
    if (length == common.size()) break;
  }
  label_by_folder(container, common.size(), listing);
  return listing;
}

PictureFiles::PictureFiles(std::unique_ptr<FileContainer> container, const DatasetOptions& options)
    : container_(std::move(container)),
      listing_(list_pictures(*container_)),
      image_size_(options.image_size),
      skip_bad_(options.skip_bad),
      slots_(listing_.files.size()),
      pixels_(nullptr, std::free) {
  for (auto& slot : slots_) slot = Slot::kEmpty;
  const auto picture_bytes = static_cast<uint64_t>(3 * image_size_ * image_size_);
  const uint64_t limit_bytes = static_cast<uint64_t>(options.memory_limit_mib) << 20;
  if (listing_.files.size() > limit_bytes / picture_bytes) return;

  // calloc: pages that no picture has reached yet take no memory.
  pixels_.reset(static_cast<uint8_t*>(std::calloc(listing_.files.size(), picture_bytes)));
  if (!is_cached()) return;  // streams instead
  uint64_t file_bytes = 0;
  for (const auto& file : listing_.files) file_bytes += file.size_bytes;
  if (file_bytes > kDecodeAtOnceBytes) return;
  base::parallel_for(size(), 0, [this](int64_t index) { read_file(index, nullptr); });
  if (skipped_ == size()) fail_all_bad();
}

std::string PictureFiles::describe() const {
  const auto& names = listing_.class_names;
  auto text = fmt::format("{} {}: {} pictures at {} px, {}",
                          container_->kind(),
                          container_->name(),
                          size(),
                          image_size_,
                          names.empty() ? "unlabelled" : fmt::format("{} classes", names.size()));
  text += is_cached() ? ", in memory" : ", streamed";
  if (skipped_ > 0) text += fmt::format(", {} skipped", skipped_.load());
  return text;
}

std::string PictureFiles::fingerprint() const {
  formats::Sha256 hash;
  for (size_t i = 0; i < listing_.files.size(); ++i) {
    const auto& file = listing_.files[i];
    const auto line = fmt::format("{}\t{}\t{}\n",
                                  file.path,
                                  file.size_bytes,
                                  listing_.labels.empty() ? -1 : listing_.labels[i]);
    hash.update(line.data(), line.size());
  }
  return fmt::format("{} images={} size={} classes={} listing={}",
                     container_->kind(),
                     size(),
                     image_size_,
                     listing_.class_names.size(),
                     hash.hex().substr(0, 16));
}

int64_t PictureFiles::read(int64_t index, uint8_t* planes) const {
  if (index < 0 || index >= size())
    throw std::out_of_range(fmt::format("{}: picture {} of {}", container_->name(), index, size()));
  for (int64_t step = 0; step < size(); ++step) {
    const int64_t at = (index + step) % size();
    if (read_file(at, planes)) return listing_.labels.empty() ? -1 : listing_.labels[at];
  }
  fail_all_bad();
}

void PictureFiles::fail_all_bad() const {
  throw std::runtime_error(
      fmt::format("{}: none of its {} pictures can be decoded", container_->name(), size()));
}

/// One file to `planes` (unless null: then to the cache alone). False if it is bad and bad ones are
/// skipped.
bool PictureFiles::read_file(int64_t index, uint8_t* planes) const {
  auto& slot = slots_[index];
  const int64_t picture_bytes = 3 * image_size_ * image_size_;
  uint8_t* kept = is_cached() ? pixels_.get() + index * picture_bytes : nullptr;

  const Slot state = slot.load(std::memory_order_acquire);
  if (state == Slot::kBad) return false;
  if (state == Slot::kFull) {
    if (planes) std::memcpy(planes, kept, picture_bytes);
    return true;
  }

  auto empty = Slot::kEmpty;
  const bool fills = kept && slot.compare_exchange_strong(empty, Slot::kBeingFilled);
  uint8_t* target = fills ? kept : planes;
  if (!target) return true;  // another thread is filling it
  try {
    decode(index, target);
  } catch (const std::runtime_error&) {
    if (!skip_bad_) {
      if (fills) slot = Slot::kEmpty;
      throw;
    }
    if (slot.exchange(Slot::kBad) != Slot::kBad) ++skipped_;
    return false;
  }
  if (fills) {
    slot.store(Slot::kFull, std::memory_order_release);
    if (planes) std::memcpy(planes, kept, picture_bytes);
  }
  return true;
}

void PictureFiles::decode(int64_t index, uint8_t* planes) const {
  const auto& file = listing_.files[index];
  const std::string bytes = container_->read(file);
  fit_square(formats::decode_image(reinterpret_cast<const uint8_t*>(bytes.data()),
                                   bytes.size(),
                                   container_->name() + "/" + file.path),
             image_size_,
             planes);
}

}  // namespace uvic::data
