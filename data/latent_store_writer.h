// Writes a store of latents example by example; continues where a killed process stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/feature_writer.h"

namespace uvic::data {

class LatentStoreWriter : public FeatureWriter {
 public:
  /// Makes the folder, or takes up what a writer of the same plan left there; throws as
  /// FeatureLayout::open does.
  LatentStoreWriter(std::filesystem::path folder, FeaturePlan plan);
  ~LatentStoreWriter() override;
  LatentStoreWriter(const LatentStoreWriter&) = delete;
  LatentStoreWriter& operator=(const LatentStoreWriter&) = delete;

  /// A piece is the rest of a file: of fewer files than processes some processes have none.
  std::vector<FeaturePiece> left(int64_t processes) const override;
  void begin(const FeaturePiece& piece) override;
  void add(const torch::Tensor& moments, const torch::Tensor& contexts) override;
  /// The small files, and index.json. Line ends in texts become spaces.
  void finish(const std::vector<std::string>& texts, const torch::Tensor& empty_context) override;

 private:
  class Part;
  std::unique_ptr<Part> open_moments(int64_t shard, bool writes) const;
  std::unique_ptr<Part> open_contexts(int64_t shard, bool writes) const;
  /// Captions of the first `rows` examples of a shard.
  int64_t captions_before(int64_t shard, int64_t rows) const;
  void close_shard();

  std::filesystem::path folder_;
  FeaturePlan plan_;
  std::vector<int64_t> begins_;  // of captions
  int64_t next_ = 0, shard_ = -1;
  std::unique_ptr<Part> moments_, contexts_;
};

}  // namespace uvic::data
