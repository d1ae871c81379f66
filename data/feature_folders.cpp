#include "data/feature_folders.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "base/hash.h"
#include "data/feature_writer.h"
#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/mapped_file.h"
#include "data/formats/npy.h"
#include "data/formats/npy_object.h"
#include "data/formats/sha256.h"
#include "data/source_path.h"

namespace uvic::data {
namespace fs = std::filesystem;
using formats::file_error;
namespace {

constexpr size_t kHeaderBytes = 512;

std::shared_ptr<const formats::MappedFile> open_feature(const fs::path& path) {
  auto file = formats::MappedFile::open(path);
  if (file->size() == 0)
    throw file_error(path.string(), "empty (0 bytes); extract this feature again");
  return file;
}

/// Moments are [2 z, S, S]: a square, an even number of channels.
ExampleFormat format_of(const std::string& path, at::IntArrayRef shape) {
  if (shape.size() != 3 || shape[0] < 2 || shape[0] % 2 != 0 || shape[1] != shape[2] ||
      shape[1] < 1)
    throw file_error(path,
                     fmt::format("shape [{}]; the moments of a latent are [2 z, S, S], such as [8, "
                                 "32, 32] of a 256 px image",
                                 fmt::join(shape, ", ")));
  return {true, shape[0], shape[1], 0, 0};
}

void require_shape(const std::string& path, at::IntArrayRef shape, at::IntArrayRef wanted) {
  if (shape != wanted)
    throw file_error(path,
                     fmt::format("shape [{}], the first of this set is [{}]",
                                 fmt::join(shape, ", "),
                                 fmt::join(wanted, ", ")));
}

/// The size of a few files spread over the set and the checksum of their bytes.
std::string content_of(int64_t size, const std::function<fs::path(int64_t)>& path_of) {
  constexpr int64_t kChecked = 64;
  formats::Sha256 hash;
  const auto count = std::min(kChecked, size);
  for (int64_t i = 0; i < count; ++i) {
    const auto bytes = formats::read_file(path_of(base::spread_index(i, count, size)));
    const auto line = fmt::format("{}\t{:08x}\n", bytes.size(), formats::crc32(bytes));
    hash.update(line.data(), line.size());
  }
  return hash.hex().substr(0, 16);
}

/// The largest n for which 0 .. n - 1 are there, where no number is missing.
int64_t count_files(const fs::path& folder) {
  int64_t present = 0, absent = 1;
  while (is_there(feature_path(folder, absent))) present = absent, absent *= 2;
  while (absent - present > 1) {
    const auto middle = present + (absent - present) / 2;
    (is_there(feature_path(folder, middle)) ? present : absent) = middle;
  }
  return absent;
}

/// "17" or "17_2", or nothing.
std::optional<std::pair<int64_t, int64_t>> numbers_of(std::string_view stem) {
  const auto whole = [](std::string_view word) -> std::optional<int64_t> {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (word.empty() || error != std::errc() || end != word.data() + word.size() || value < 0)
      return std::nullopt;
    return value;
  };
  const auto bar = stem.find('_');
  const auto first = whole(stem.substr(0, bar));
  const auto second =
      bar == std::string_view::npos ? std::optional<int64_t>(-1) : whole(stem.substr(bar + 1));
  if (!first || !second) return std::nullopt;
  return std::pair(*first, *second);
}

}  // namespace

fs::path feature_path(const fs::path& folder, int64_t index) {
  return folder / fmt::format("{}.npy", index);
}

fs::path context_feature_path(const fs::path& folder, int64_t index, int64_t caption) {
  return folder / fmt::format("{}_{}.npy", index, caption);
}

LabelledFeatures::LabelledFeatures(fs::path folder) : folder_(std::move(folder)) {
  const auto first = feature_path(folder_, 0);
  const auto pair = formats::read_npy_objects(open_feature(first));
  if (pair.size() != 2 || pair[1].dim() != 0)
    throw file_error(first.string(), "wants a tuple (moments, label)");
  format_ = format_of(first.string(), pair[0].sizes());
  size_ = count_files(folder_);
  const auto record = folder_ / kFolderRecord;
  if (!is_there(record)) return;
  const auto json = formats::read_json(record);
  const auto info = LatentStoreInfo::from_json(json, record.string());
  if (info.images != size_)
    throw file_error(
        folder_.string(),
        fmt::format(
            "holds {} files, features.json says {}; copy the folder again", size_, info.images));
  class_names_ = info.class_names;
  if (!class_names_.empty()) class_count_ = static_cast<int64_t>(class_names_.size());
}

std::string LabelledFeatures::describe() const {
  return fmt::format("latents {}: {} of {} x {} x {}, labelled",
                     folder_.string(),
                     size_,
                     format_.channels / 2,
                     format_.size,
                     format_.size);
}

std::string LabelledFeatures::fingerprint() const {
  return fmt::format("labelled features images={} size={} content={}",
                     size_,
                     format_.size,
                     content_of(size_, [&](int64_t i) { return feature_path(folder_, i); }));
}

int64_t LabelledFeatures::read_example(int64_t index, uint64_t, const ExampleMemory& to) const {
  const auto path = feature_path(folder_, index);
  const auto pair = formats::read_npy_objects(open_feature(path));
  if (pair.size() != 2 || pair[1].dim() != 0 || pair[1].is_floating_point())
    throw file_error(path.string(), "wants a tuple (moments, label)");
  require_shape(path.string(), pair[0].sizes(), {format_.channels, format_.size, format_.size});
  copy_as_float(pair[0], static_cast<float*>(to.image));
  const auto label = pair[1].item<int64_t>();
  if (label < 0 || label >= class_count_)
    throw file_error(path.string(),
                     fmt::format("label {}, classes are 0 to {}", label, class_count_ - 1));
  return label;
}

CaptionedFeatures::CaptionedFeatures(fs::path folder) : folder_(std::move(folder)) {
  const auto first = feature_path(folder_, 0);
  format_ = format_of(first.string(), formats::read_npy(open_feature(first)).sizes());
  list();
  if (caption_total_ == 0) return;
  const auto context = context_feature_path(folder_, 0, 0);
  const auto shape = formats::read_npy(open_feature(context)).sizes().vec();
  if (shape.size() != 2)
    throw file_error(
        context.string(),
        fmt::format("shape [{}]; context features are [tokens, width], such as [77, 768]",
                    fmt::join(shape, ", ")));
  format_.context_tokens = shape[0], format_.context_dim = shape[1];
  for (const auto& place : {folder_, folder_.parent_path()}) {
    const auto path = place / "empty_context.npy";
    if (!is_there(path)) continue;
    empty_context_ = torch::empty({shape[0], shape[1]});
    read_array(path, shape, empty_context_.data_ptr<float>());
    return;
  }
}

/// Fills captions_, and checks that no number is missing.
void CaptionedFeatures::list() {
  std::map<int64_t, int32_t> counts;
  int64_t images = 0, highest = -1, most = 0;
  std::vector<std::pair<int64_t, int64_t>> contexts;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() != ".npy") continue;
    const auto numbers = numbers_of(entry.path().stem().string());
    if (!numbers) continue;
    if (numbers->second < 0)
      ++images, highest = std::max(highest, numbers->first);
    else
      contexts.push_back(*numbers);
  }
  if (highest + 1 != images)
    throw file_error(folder_.string(),
                     fmt::format("{} latents, the last is {}.npy: numbers are missing; copy the "
                                 "folder again",
                                 images,
                                 highest));
  captions_.assign(static_cast<size_t>(images), 0);
  std::vector<int64_t> last(captions_.size(), -1);
  for (const auto& [image, caption] : contexts) {
    if (image >= images)
      throw file_error(context_feature_path(folder_, image, caption).string(),
                       fmt::format("a context without its latent {}.npy", image));
    ++captions_[static_cast<size_t>(image)];
    auto& highest_caption = last[static_cast<size_t>(image)];
    highest_caption = std::max(highest_caption, caption);
    most = std::max(most, caption);
  }
  caption_total_ = static_cast<int64_t>(contexts.size());
  for (int64_t i = 0; caption_total_ > 0 && i < images; ++i)
    if (captions_[static_cast<size_t>(i)] == 0 ||
        last[static_cast<size_t>(i)] + 1 != captions_[static_cast<size_t>(i)])
      throw file_error(
          folder_.string(),
          fmt::format("{} contexts of latent {}, the last is {}; copy the folder again",
                      captions_[static_cast<size_t>(i)],
                      i,
                      last[static_cast<size_t>(i)]));
}

std::string CaptionedFeatures::describe() const {
  const auto latents = fmt::format("latents {}: {} of {} x {} x {}",
                                   folder_.string(),
                                   size(),
                                   format_.channels / 2,
                                   format_.size,
                                   format_.size);
  if (caption_total_ == 0) return latents;
  return fmt::format("{}, {} contexts of {} x {}{}",
                     latents,
                     caption_total_,
                     format_.context_tokens,
                     format_.context_dim,
                     empty_context_.defined() ? "" : ", no empty context");
}

std::string CaptionedFeatures::fingerprint() const {
  return fmt::format("captioned features images={} size={} contexts={} content={}",
                     size(),
                     format_.size,
                     caption_total_,
                     content_of(size(), [&](int64_t i) { return feature_path(folder_, i); }));
}

void CaptionedFeatures::read_array(const fs::path& path, at::IntArrayRef shape, float* to) const {
  const auto file = open_feature(path);
  const auto array = formats::read_npy(file);
  require_shape(path.string(), array.sizes(), shape);
  if (array.scalar_type() != torch::kFloat32 && array.scalar_type() != torch::kFloat16)
    throw file_error(
        path.string(),
        fmt::format("holds {}, want float32 or float16", c10::toString(array.scalar_type())));
  copy_as_float(array, to);
  file->require_unchanged();
}

int64_t CaptionedFeatures::read_example(int64_t index,
                                        uint64_t choice,
                                        const ExampleMemory& to) const {
  read_array(feature_path(folder_, index),
             {format_.channels, format_.size, format_.size},
             static_cast<float*>(to.image));
  if (to.context) {
    const auto count = static_cast<uint64_t>(caption_count(index));
    read_array(context_feature_path(folder_, index, static_cast<int64_t>(choice % count)),
               {format_.context_tokens, format_.context_dim},
               to.context);
  }
  return -1;
}

std::unique_ptr<Dataset> open_feature_folder(const std::string& source, const DatasetOptions&) {
  auto [path, part] = split_part(source, {"train", "val"});
  if (!is_folder(path)) return nullptr;
  // The official folder of MS-COCO holds train/, val/ and empty_context.npy.
  if (!is_there(feature_path(path, 0))) {
    const auto inner = path / (part.empty() ? "train" : part);
    if (!is_there(feature_path(inner, 0))) return nullptr;
    path = inner;
  } else if (!part.empty()) {
    throw file_error(path.string(), fmt::format("has no part \":{}\"", part));
  }
  if (const auto text = unfinished_text(path); !text.empty()) throw file_error(path.string(), text);
  const auto beginning = formats::read_beginning(feature_path(path, 0), kHeaderBytes);
  if (formats::is_npy_object(beginning)) return std::make_unique<LabelledFeatures>(path);
  return std::make_unique<CaptionedFeatures>(path);
}

}  // namespace uvic::data
