// The store of latents that `uvic encode` writes: few large files, memory-mapped, random access.
//
//   index.json             what the store holds; written last, so that a store without it is not
//                          finished
//   moments-00000.npy      [n, 2 z, S, S] of the first shard_images examples, float32 or float16
//   contexts-00000.npy     [m, L, D] of their captions, in the order of the examples
//   labels.npy             int64 [N], -1 where unlabelled
//   caption_begins.npy     int64 [N + 1]: captions i are caption_begins[i] ... [i + 1] - 1
//   captions.txt           the texts, one a line
//   empty_context.npy      [L, D] of the empty caption, float32
//
// Arrays are .npy files because NumPy opens them without further libraries (numpy.load(path,
// mmap_mode="r")), because their elements are in one piece after a header of fixed size, so that
// example i has a known place while a file is still being written, and because they hold float16.
// A safetensors file states its offsets before its content and a zip after it: neither can be
// continued where a killed process stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/formats/mapped_file.h"
#include "data/latents.h"

namespace uvic::data {

/// index.json.
struct LatentStoreInfo {
  int64_t images = 0;    ///< examples; with `mirrored` each image and its mirror image
  int64_t channels = 8;  ///< 2 z
  int64_t size = 32;     ///< of a latent
  int64_t captions = 0;  ///< of all examples
  int64_t context_tokens = 0, context_dim = 0;
  torch::ScalarType moments_dtype = torch::kFloat32, context_dtype = torch::kFloat32;
  int64_t shard_images = 16384;
  bool labelled = false, mirrored = false;
  std::vector<std::string> class_names;
  nlohmann::json made_from = nlohmann::json::object();  ///< source, encoders, preprocessing

  int64_t shards() const { return (images + shard_images - 1) / shard_images; }
  int64_t shard_begin(int64_t shard) const { return shard * shard_images; }
  int64_t shard_end(int64_t shard) const { return std::min(images, (shard + 1) * shard_images); }

  nlohmann::json to_json() const;
  /// Throws std::runtime_error that names `file` where a value is missing or out of range.
  static LatentStoreInfo from_json(const nlohmann::json& json, const std::string& file);
};

inline constexpr const char* kStoreRecord = "index.json";
std::filesystem::path store_index_path(const std::filesystem::path& folder);
std::filesystem::path moments_path(const std::filesystem::path& folder, int64_t shard);
std::filesystem::path contexts_path(const std::filesystem::path& folder, int64_t shard);

class LatentStore : public LatentDataset {
 public:
  /// Maps every file. Throws std::runtime_error naming a file that is missing, cut short or of
  /// another shape than index.json says.
  explicit LatentStore(std::filesystem::path folder);

  int64_t size() const override { return info_.images; }
  std::string describe() const override;
  std::string fingerprint() const override;
  ExampleFormat format() const override;
  const std::vector<std::string>& class_names() const override { return info_.class_names; }
  int64_t class_count() const override;
  torch::Tensor empty_context() const override { return empty_context_; }
  int64_t read_example(int64_t index, uint64_t choice, const ExampleMemory& to) const override;
  std::vector<std::string> captions(int64_t index) const override;

  const LatentStoreInfo& info() const { return info_; }

 protected:
  std::string name() const override { return folder_.string(); }

 private:
  struct Array {
    std::shared_ptr<const formats::MappedFile> file;
    torch::Tensor values;
  };
  Array open(const std::filesystem::path& path,
             at::IntArrayRef shape,
             torch::ScalarType dtype) const;

  std::filesystem::path folder_;
  LatentStoreInfo info_;
  std::vector<Array> moments_, contexts_;
  Array labels_, begins_;
  int64_t class_count_ = 0;
  torch::Tensor empty_context_;
  mutable std::once_flag texts_read_;
  mutable std::vector<std::string> texts_;
};

}  // namespace uvic::data
