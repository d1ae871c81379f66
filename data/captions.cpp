#include "data/captions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "base/hash.h"
#include "base/text_format.h"
#include "base/thread_loop.h"
#include "data/caption_sources.h"
#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/sha256.h"
#include "data/image_container.h"
#include "data/sampled_checksum.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamedFaults = 3;  // files that a message names

/// Counted, and the first few by name: "4 captions are empty: a.jpg, b.jpg, c.jpg, ...".
class Faults {
 public:
  void add(const std::string& name) {
    if (++count_ <= kNamedFaults) first_.push_back(name);
  }
  size_t count() const { return count_; }
  std::string names() const {
    return fmt::format("{}{}", fmt::join(first_, ", "), count_ > kNamedFaults ? ", ..." : "");
  }

 private:
  size_t count_ = 0;
  std::vector<std::string> first_;
};

bool is_blank(std::string_view caption) {
  return caption.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

FilesByPath files_by_path(const FileContainer& container) {
  FilesByPath files;
  container.list([&](StoredFile&& file) {
    if (file.path.empty() || file.path.back() == '/' || !file.left_out.empty()) return;
    auto path = file.path;
    if (!files.emplace(std::move(path), std::move(file)).second)
      throw formats::file_error(container.name(), "holds a path twice; pack it again");
  });
  return files;
}

std::vector<std::string> image_paths(const FilesByPath& files) {
  std::vector<std::string> paths;
  for (const auto& [path, file] : files)
    if (is_image_path(path)) paths.push_back(path);
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// What precedes the names of a caption file in a container: nothing, or a folder.
std::string prefix_of(const FilesByPath& files, const std::string& name) {
  if (files.count(name)) return "";
  std::string shortest;
  for (const auto& [path, file] : files) {
    if (path.size() <= name.size() || path.compare(path.size() - name.size(), name.size(), name) ||
        path[path.size() - name.size() - 1] != '/')
      continue;
    const auto prefix = path.substr(0, path.size() - name.size());
    if (shortest.empty() || std::pair(prefix.size(), prefix) < std::pair(shortest.size(), shortest))
      shortest = prefix;
  }
  return shortest;
}

/// The images in the draft's folder that it does not name.
Faults images_without_row(const FilesByPath& files, const CaptionDraft& draft) {
  std::set<std::string_view> named;
  for (const auto& image : draft.images) named.insert(image.path);
  Faults unnamed;
  for (const auto& path : image_paths(files))
    if (base::begins_with(path, draft.folder) && named.count(path) == 0) unnamed.add(path);
  return unnamed;
}

/// Checks a draft against what is there.
std::unique_ptr<CaptionedImages> finish(std::unique_ptr<FileContainer> container,
                                        const FilesByPath& files,
                                        const CaptionDraft& draft) {
  Faults absent, not_utf8, empty, without;
  CaptionTable captions;
  std::vector<StoredFile> images;
  for (const auto& image : draft.images) {
    const auto found = files.find(image.path);
    if (found == files.end()) {
      absent.add(image.path);
      continue;
    }
    bool has_caption = false;
    for (const auto& caption : image.captions) {
      if (find_bad_utf8(caption)) {
        not_utf8.add(image.path);
      } else if (is_blank(caption)) {
        empty.add(image.path);
      } else {
        if (!has_caption) captions.add_image();
        has_caption = true;
        captions.add_caption(caption);
      }
    }
    if (has_caption)
      images.push_back(found->second);
    else
      without.add(image.path);
  }
  if (absent.count() > 0)
    throw formats::file_error(draft.source,
                              fmt::format("{} of its {} images are not in {}: {}",
                                          absent.count(),
                                          draft.images.size(),
                                          container->name(),
                                          absent.names()));
  if (not_utf8.count() > 0)
    throw formats::file_error(
        draft.source,
        fmt::format("{} captions are not UTF-8: of {}", not_utf8.count(), not_utf8.names()));
  if (images.empty())
    throw formats::file_error(
        draft.source,
        fmt::format("none of its {} images has a caption; looked for metadata.jsonl, metadata.csv, "
                    "and a .txt or .json next to each image",
                    draft.images.size()));
  auto notes = draft.notes;
  if (const auto unnamed = images_without_row(files, draft); unnamed.count() > 0)
    notes.push_back(fmt::format("{} images left out, which {} does not name: {}",
                                unnamed.count(),
                                draft.kind,
                                unnamed.names()));
  if (empty.count() > 0)
    notes.push_back(fmt::format("{} empty captions left out: of {}", empty.count(), empty.names()));
  if (without.count() > 0)
    notes.push_back(
        fmt::format("{} images without a caption left out: {}", without.count(), without.names()));
  return std::make_unique<CaptionedImages>(
      std::move(container), std::move(images), std::move(captions), draft.kind, std::move(notes));
}

/// The folder of COCO's images: `given`, or the first candidate that holds the first image.
std::string find_coco_images(const fs::path& json, const std::string& first) {
  const auto folder = fs::absolute(json).parent_path();
  const auto stem = json.stem().string();
  const auto own = stem.rfind("captions_", 0) == 0 ? stem.substr(9) : stem;
  std::vector<fs::path> candidates;
  for (const auto& base : {folder, folder.parent_path()})
    for (const auto& name : {fs::path(own), fs::path("images") / own, fs::path("images")})
      candidates.push_back(base / name);
  candidates.push_back(folder);
  std::error_code ignored;
  std::vector<std::string> looked_for;
  for (const auto& candidate : candidates) {
    if (fs::exists(candidate / first, ignored)) return candidate.string();
    looked_for.push_back(candidate.string());
  }
  throw formats::file_error(json.string(),
                            fmt::format("its images are not found; looked for {} in {}; give the "
                                        "folder of the images",
                                        first,
                                        fmt::join(looked_for, ", ")));
}

std::unique_ptr<CaptionedImages> open_coco(const std::string& source, const std::string& given) {
  auto draft = read_coco_captions(source);
  if (draft.images.empty()) throw formats::file_error(source, "it lists no image");
  const auto first = draft.images.front().path;
  auto container = open_container(given.empty() ? find_coco_images(source, first) : given);
  const auto files = files_by_path(*container);
  if (const auto prefix = prefix_of(files, first); !prefix.empty())
    for (auto& image : draft.images) image.path.insert(0, prefix);
  return finish(std::move(container), files, draft);
}

bool is_json_file(const std::string& source) {
  std::error_code ignored;
  if (!fs::is_regular_file(source, ignored)) return false;
  const auto head = formats::read_beginning(source, 64);
  const auto first = head.find_first_not_of(" \t\r\n");
  return first != std::string::npos && (head[first] == '{' || head[first] == '[');
}

}  // namespace

void CaptionTable::add_caption(std::string_view caption) {
  text_ += caption;
  ends_.push_back(text_.size());
}

std::vector<std::string> CaptionTable::of(int64_t image) const {
  const auto at = static_cast<size_t>(image);
  const auto begin = first_[at], end = at + 1 < first_.size() ? first_[at + 1] : captions();
  std::vector<std::string> result;
  for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
    const auto from = i == 0 ? 0 : ends_[i - 1];
    result.push_back(text_.substr(from, ends_[i] - from));
  }
  return result;
}

CaptionedImages::CaptionedImages(std::unique_ptr<FileContainer> container,
                                 std::vector<StoredFile> files,
                                 CaptionTable captions,
                                 std::string kind,
                                 std::vector<std::string> notes)
    : container_(std::move(container)),
      files_(std::move(files)),
      captions_(std::move(captions)),
      kind_(std::move(kind)),
      notes_(std::move(notes)) {}

void CaptionedImages::check_index(int64_t index) const {
  if (index < 0 || index >= size())
    throw std::out_of_range(fmt::format("{}: image {} of {}", container_->name(), index, size()));
}

std::vector<std::string> CaptionedImages::captions(int64_t index) const {
  check_index(index);
  return captions_.of(index);
}

const std::string& CaptionedImages::name(int64_t index) const {
  check_index(index);
  return files_[static_cast<size_t>(index)].path;
}

std::string CaptionedImages::read(int64_t index) const {
  check_index(index);
  return container_->read(files_[static_cast<size_t>(index)]);
}

formats::Image CaptionedImages::decode(int64_t index) const {
  const auto bytes = read(index);
  return formats::decode_image(reinterpret_cast<const uint8_t*>(bytes.data()),
                               bytes.size(),
                               container_->name() + "/" + name(index));
}

std::string CaptionedImages::describe() const {
  auto text = fmt::format("{} {}: {} images, {} captions ({})",
                          container_->kind(),
                          container_->name(),
                          size(),
                          captions_.captions(),
                          kind_);
  for (const auto& note : notes_) text += "; " + note;
  return text;
}

std::string CaptionedImages::fingerprint_with(Contents contents) const {
  std::vector<std::optional<uint32_t>> checksums(static_cast<size_t>(size()));
  const bool whole = contents == Contents::kWhole,
             is_own_form = whole == container_->knows_checksums();
  const int64_t count = contents == Contents::kNone ? 0
                        : whole                     ? size()
                                                    : std::min(size(), kMostSampledFiles);
  base::parallel_for(count, 0, [&](int64_t i) {
    const auto index = static_cast<size_t>(base::spread_index(i, count, size()));
    const auto& file = files_[index];
    checksums[index] = is_own_form ? container_->checksum(file)
                       : whole     ? formats::crc32(container_->read(file))
                                   : sampled_checksum(container_->read(file));
  });
  formats::Sha256 hash;
  for (int64_t i = 0; i < size(); ++i) {
    const auto& file = files_[static_cast<size_t>(i)];
    auto line = fmt::format("{}\t{}", file.path, file.size_bytes);
    if (const auto sum = checksums[static_cast<size_t>(i)]) line += fmt::format("\t{:08x}", *sum);
    for (const auto& caption : captions_.of(i)) line += '\t' + caption;
    line += '\n';
    hash.update(line.data(), line.size());
  }
  return fmt::format("captioned images={} captions={} {}={}",
                     size(),
                     captions_.captions(),
                     contents == Contents::kNone ? "content"
                     : whole                     ? "crc"
                                                 : "sampled",
                     hash.hex().substr(0, 16));
}

std::string CaptionedImages::fingerprint() const {
  return fingerprint_with(container_->knows_checksums() ? Contents::kWhole : Contents::kSampled);
}

std::string CaptionedImages::fingerprint_like(const std::string& recorded) const {
  const auto has = [&](const char* key) { return recorded.find(key) != std::string::npos; };
  return has(" crc=")       ? fingerprint_with(Contents::kWhole)
         : has(" sampled=") ? fingerprint_with(Contents::kSampled)
         : has(" content=") ? fingerprint_with(Contents::kNone)
                            : fingerprint();
}

std::unique_ptr<CaptionedImages> open_captioned_images(const std::string& source,
                                                       const std::string& images) {
  if (is_json_file(source)) return open_coco(source, images);
  auto container = open_container(source);
  const auto files = files_by_path(*container);
  if (const auto metadata = find_metadata(container->name(), files); !metadata.empty()) {
    const auto draft = read_metadata(*container, files.at(metadata));
    return finish(std::move(container), files, draft);
  }
  const auto draft = read_captions_beside(*container, files, image_paths(files));
  return finish(std::move(container), files, draft);
}

}  // namespace uvic::data
