#include "data/latent_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/hash.h"
#include "data/feature_folders.h"
#include "data/feature_writer.h"
#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/sha256.h"
#include "data/image_listing.h"
#include "data/source_path.h"

namespace uvic::data {
namespace fs = std::filesystem;
using formats::file_error;
using nlohmann::json;
namespace {

constexpr const char* kFormat = "uvic-latents";
constexpr int64_t kStoreVersion = 1;

const char* dtype_name(torch::ScalarType dtype) {
  return dtype == torch::kFloat16 ? "float16" : "float32";
}

/// Reads values of an object and says which is wrong.
class Reader {
 public:
  Reader(const json& object, const std::string& file) : object_(object), file_(file) {}

  int64_t count(const char* key, int64_t low, int64_t high) const {
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_number_integer()) throw fault(key, "a whole number");
    const auto value = found->get<int64_t>();
    if (value < low || value > high)
      throw fault(key, fmt::format("{} to {}, it is {}", low, high, value));
    return value;
  }
  bool flag(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end() || !found->is_boolean()) throw fault(key, "true or false");
    return found->get<bool>();
  }
  torch::ScalarType dtype(const char* key) const {
    const auto found = object_.find(key);
    if (found != object_.end() && *found == "float32") return torch::kFloat32;
    if (found != object_.end() && *found == "float16") return torch::kFloat16;
    throw fault(key, "float32 or float16");
  }
  std::vector<std::string> texts(const char* key) const {
    const auto found = object_.find(key);
    const auto is_text = [](const json& item) { return item.is_string(); };
    if (found == object_.end() || !found->is_array() ||
        !std::all_of(found->begin(), found->end(), is_text))
      throw fault(key, "a list of texts");
    return found->get<std::vector<std::string>>();
  }

 private:
  std::runtime_error fault(const char* key, const std::string& wanted) const {
    return file_error(file_, fmt::format("\"{}\": want {}", key, wanted));
  }
  const json& object_;
  const std::string& file_;
};

}  // namespace

json LatentStoreInfo::to_json() const {
  return {{"format", kFormat},
          {"version", kStoreVersion},
          {"images", images},
          {"channels", channels},
          {"size", size},
          {"captions", captions},
          {"context_tokens", context_tokens},
          {"context_dim", context_dim},
          {"moments_dtype", dtype_name(moments_dtype)},
          {"context_dtype", dtype_name(context_dtype)},
          {"shard_images", shard_images},
          {"labelled", labelled},
          {"mirrored", mirrored},
          {"class_names", class_names},
          {"made_from", made_from}};
}

LatentStoreInfo LatentStoreInfo::from_json(const json& object, const std::string& file) {
  constexpr int64_t kMost = int64_t{1} << 40, kMostWide = 1 << 20;
  const Reader read(object, file);
  if (const auto version = read.count("version", 1, kMost); version > kStoreVersion)
    throw file_error(
        file,
        fmt::format(
            "has version {}, this uvic reads {}; use a newer uvic", version, kStoreVersion));
  LatentStoreInfo info;
  info.images = read.count("images", 1, kMost);
  info.channels = read.count("channels", 2, kMostWide);
  info.size = read.count("size", 1, kMostWide);
  info.captions = read.count("captions", 0, kMost);
  info.context_tokens = read.count("context_tokens", 0, kMostWide);
  info.context_dim = read.count("context_dim", 0, kMostWide);
  info.moments_dtype = read.dtype("moments_dtype");
  info.context_dtype = read.dtype("context_dtype");
  info.shard_images = read.count("shard_images", 1, kMost);
  info.labelled = read.flag("labelled");
  info.mirrored = read.flag("mirrored");
  info.class_names = read.texts("class_names");
  if (object.contains("made_from")) info.made_from = object["made_from"];
  const bool contexts = info.context_dim > 0 && info.context_tokens > 0;
  if (info.channels % 2 != 0 || contexts != (info.captions > 0) || info.shards() > (1 << 20))
    throw file_error(file, "its numbers contradict each other; encode the set again");
  return info;
}

fs::path store_index_path(const fs::path& folder) { return folder / kStoreRecord; }
fs::path moments_path(const fs::path& folder, int64_t shard) {
  return folder / fmt::format("moments-{:05d}.npy", shard);
}
fs::path contexts_path(const fs::path& folder, int64_t shard) {
  return folder / fmt::format("contexts-{:05d}.npy", shard);
}

LatentStore::Array LatentStore::open(const fs::path& path,
                                     at::IntArrayRef shape,
                                     torch::ScalarType dtype) const {
  Array array{formats::MappedFile::open(path), {}};
  if (array.file->size() == 0) throw file_error(path.string(), "empty (0 bytes); copy it again");
  array.values = formats::read_npy(array.file);
  if (array.values.sizes() != shape || array.values.scalar_type() != dtype)
    throw file_error(path.string(),
                     fmt::format("holds [{}] of {}, index.json says [{}] of {}; copy the store "
                                 "again",
                                 fmt::join(array.values.sizes(), ", "),
                                 c10::toString(array.values.scalar_type()),
                                 fmt::join(shape, ", "),
                                 c10::toString(dtype)));
  return array;
}

LatentStore::LatentStore(fs::path folder) : folder_(std::move(folder)) {
  const auto index = store_index_path(folder_);
  info_ = LatentStoreInfo::from_json(formats::read_json(index), index.string());
  labels_ = open(folder_ / "labels.npy", {info_.images}, torch::kInt64);
  if (info_.labelled) {
    const auto lowest = labels_.values.min().item<int64_t>(),
               highest = labels_.values.max().item<int64_t>();
    if (lowest < -1 || highest >= kMaxClasses)
      throw file_error(
          (folder_ / "labels.npy").string(),
          fmt::format("classes {} to {}, want -1 to {}", lowest, highest, kMaxClasses - 1));
    class_count_ = std::max(static_cast<int64_t>(info_.class_names.size()), highest + 1);
  }
  const int64_t* begins = nullptr;
  if (info_.captions > 0) {
    begins_ = open(folder_ / "caption_begins.npy", {info_.images + 1}, torch::kInt64);
    begins = begins_.values.data_ptr<int64_t>();
    bool rises = begins[0] == 0 && begins[info_.images] == info_.captions;
    for (int64_t i = 0; i < info_.images; ++i) rises = rises && begins[i] < begins[i + 1];
    if (!rises)
      throw file_error((folder_ / "caption_begins.npy").string(),
                       "its numbers do not rise from 0 to the number of captions");
    const auto empty = folder_ / "empty_context.npy";
    if (is_there(empty))
      empty_context_ =
          open(empty, {info_.context_tokens, info_.context_dim}, torch::kFloat32).values.clone();
  }
  for (int64_t shard = 0; shard < info_.shards(); ++shard) {
    const auto begin = info_.shard_begin(shard), end = info_.shard_end(shard);
    moments_.push_back(open(moments_path(folder_, shard),
                            {end - begin, info_.channels, info_.size, info_.size},
                            info_.moments_dtype));
    if (begins)
      contexts_.push_back(
          open(contexts_path(folder_, shard),
               {begins[end] - begins[begin], info_.context_tokens, info_.context_dim},
               info_.context_dtype));
  }
}

ExampleFormat LatentStore::format() const {
  return {true, info_.channels, info_.size, info_.context_tokens, info_.context_dim};
}

int64_t LatentStore::class_count() const { return class_count_; }

std::string LatentStore::describe() const {
  auto text = fmt::format("latents {}: {} of {} x {} x {}",
                          folder_.string(),
                          size(),
                          info_.channels / 2,
                          info_.size,
                          info_.size);
  if (info_.captions > 0)
    text += fmt::format(
        ", {} contexts of {} x {}", info_.captions, info_.context_tokens, info_.context_dim);
  if (class_count_ > 0) text += fmt::format(", {} classes", class_count_);
  return text + (info_.mirrored ? ", half of them mirrored" : "");
}

std::string LatentStore::fingerprint() const {
  constexpr int64_t kChecked = 64;
  formats::Sha256 hash;
  const auto line = info_.to_json().dump();
  hash.update(line.data(), line.size());
  const auto count = std::min(kChecked, size());
  for (int64_t i = 0; i < count; ++i) {
    const auto index = base::spread_index(i, count, size());
    const auto& shard = moments_[static_cast<size_t>(index / info_.shard_images)];
    const auto row = shard.values[index % info_.shard_images].contiguous();
    const auto sum = formats::crc32({static_cast<const char*>(row.data_ptr()), row.nbytes()});
    hash.update(&sum, sizeof(sum));
  }
  return fmt::format("latent store images={} content={}", size(), hash.hex().substr(0, 16));
}

int64_t LatentStore::read_example(int64_t index, uint64_t choice, const ExampleMemory& to) const {
  const auto shard = index / info_.shard_images;
  const auto& moments = moments_.at(static_cast<size_t>(shard));
  copy_as_float(moments.values[index % info_.shard_images], static_cast<float*>(to.image));
  moments.file->require_unchanged();
  if (to.context) {
    const auto* begins = begins_.values.data_ptr<int64_t>();
    const auto count = static_cast<uint64_t>(begins[index + 1] - begins[index]);
    const auto& contexts = contexts_.at(static_cast<size_t>(shard));
    const auto row =
        begins[index] - begins[info_.shard_begin(shard)] + static_cast<int64_t>(choice % count);
    copy_as_float(contexts.values[row], to.context);
    contexts.file->require_unchanged();
  }
  return info_.labelled ? labels_.values.data_ptr<int64_t>()[index] : -1;
}

std::vector<std::string> LatentStore::captions(int64_t index) const {
  if (info_.captions == 0 || !is_there(folder_ / "captions.txt")) return {};
  std::call_once(texts_read_, [this] {
    const auto path = folder_ / "captions.txt";
    const auto all = formats::read_file(path);
    for (size_t at = 0; at < all.size();) {
      const auto end = std::min(all.find('\n', at), all.size());
      texts_.push_back(all.substr(at, end - at));
      at = end + 1;
    }
    if (static_cast<int64_t>(texts_.size()) != info_.captions)
      throw file_error(
          path.string(),
          fmt::format("{} lines, index.json says {} captions", texts_.size(), info_.captions));
  });
  const auto* begins = begins_.values.data_ptr<int64_t>();
  return {texts_.begin() + begins[index], texts_.begin() + begins[index + 1]};
}

std::unique_ptr<Dataset> open_latent_store(const std::string& source, const DatasetOptions&) {
  const fs::path folder(source);
  const auto index = store_index_path(folder);
  if (!is_folder(folder)) return nullptr;
  if (!is_there(index)) {
    if (is_there(feature_path(folder, 0))) return nullptr;
    if (const auto text = unfinished_text(folder); !text.empty()) throw file_error(source, text);
    return nullptr;
  }
  const auto parsed = formats::try_parse_json(formats::read_file(index));
  if (!parsed || !parsed->is_object() || parsed->value("format", json()) != kFormat) {
    if (!is_there(moments_path(folder, 0))) return nullptr;
    throw file_error(index.string(),
                     "damaged: not the record of the latents next to it; copy it again");
  }
  return std::make_unique<LatentStore>(folder);
}

}  // namespace uvic::data
