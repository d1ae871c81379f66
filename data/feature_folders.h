// The feature folders that the official U-ViT and U-ViC code trains on: a file for each latent, a
// file for each caption. Source: scripts/extract_*_feature.py and datasets.py of U-ViT.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/latents.h"

namespace uvic::data {

/// What `uvic encode` writes next to the official files: the file that marks a finished folder.
inline constexpr const char* kFolderRecord = "features.json";

/// FOLDER/INDEX.npy and FOLDER/INDEX_CAPTION.npy.
std::filesystem::path feature_path(const std::filesystem::path& folder, int64_t index);
std::filesystem::path context_feature_path(const std::filesystem::path& folder,
                                           int64_t index,
                                           int64_t caption);

/// ImageNet's: INDEX.npy is a pickled tuple (moments, label). Mirrored copies are examples of their
/// own: the official script writes each batch of 256 images and then the mirrored batch.
///
/// Classes are counted by features.json where `uvic encode` wrote one, and else are ImageNet's
/// 1000.
class LabelledFeatures : public LatentDataset {
 public:
  /// Throws std::runtime_error if 0.npy is no such tuple. The number of files is found by
  /// bisection, not by listing the millions that there are.
  explicit LabelledFeatures(std::filesystem::path folder);

  int64_t size() const override { return size_; }
  std::string describe() const override;
  std::string fingerprint() const override;
  ExampleFormat format() const override { return format_; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int64_t class_count() const override { return class_count_; }
  int64_t read_example(int64_t index, uint64_t choice, const ExampleMemory& to) const override;

 protected:
  std::string name() const override { return folder_.string(); }

 private:
  std::filesystem::path folder_;
  int64_t size_ = 0, class_count_ = 1000;
  std::vector<std::string> class_names_;
  ExampleFormat format_;
};

/// MS-COCO's: INDEX.npy are moments, INDEX_K.npy the context of caption K, and empty_context.npy,
/// in the folder or in the one above, that of the empty caption. Without contexts it is an
/// unlabelled set of latents.
class CaptionedFeatures : public LatentDataset {
 public:
  /// Lists the folder once. Throws std::runtime_error where numbers are missing among the files or
  /// shapes disagree.
  explicit CaptionedFeatures(std::filesystem::path folder);

  int64_t size() const override { return static_cast<int64_t>(captions_.size()); }
  std::string describe() const override;
  std::string fingerprint() const override;
  ExampleFormat format() const override { return format_; }
  torch::Tensor empty_context() const override { return empty_context_; }
  int64_t read_example(int64_t index, uint64_t choice, const ExampleMemory& to) const override;
  int64_t caption_count(int64_t index) const { return captions_.at(static_cast<size_t>(index)); }

 protected:
  std::string name() const override { return folder_.string(); }

 private:
  void list();
  void read_array(const std::filesystem::path& path, at::IntArrayRef shape, float* to) const;

  std::filesystem::path folder_;
  std::vector<int32_t> captions_;  // of each image
  int64_t caption_total_ = 0;
  ExampleFormat format_;
  torch::Tensor empty_context_;
};

}  // namespace uvic::data
