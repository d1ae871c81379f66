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

  int64_t done() const override { return done_; }
  void add(const torch::Tensor& moments, const torch::Tensor& contexts) override;
  /// The small files, and index.json. Line ends in texts become spaces.
  void finish(const std::vector<std::string>& texts, const torch::Tensor& empty_context) override;

 private:
  class Part;
  void open_shard();
  void add_to_shard(const torch::Tensor& moments, const torch::Tensor& contexts);
  void close_shard();

  std::filesystem::path folder_;
  FeaturePlan plan_;
  std::vector<int64_t> begins_;  // of captions
  int64_t done_ = 0, shard_ = -1;
  std::unique_ptr<Part> moments_, contexts_;
};

}  // namespace uvic::data
