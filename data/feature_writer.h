// Where encoded examples go: a store of latents or the official code's folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/table.h"
#include "base/torch.h"
#include "data/latent_store.h"

namespace uvic::data {

/// What a set of features holds besides its arrays: known before the first of them is computed.
struct FeaturePlan {
  LatentStoreInfo info;                 ///< `captions` and `labelled` follow from the lists
  std::vector<int64_t> labels;          ///< one for each example; empty: unlabelled
  std::vector<int64_t> caption_counts;  ///< one for each example; empty: no captions
};

/// Examples begin .. end - 1, which one process writes.
struct FeaturePiece {
  int64_t begin = 0, end = 0;
  int64_t process = 0;
};

class FeatureWriter {
 public:
  virtual ~FeatureWriter() = default;

  /// What is not complete, in order, divided among that many processes.
  virtual std::vector<FeaturePiece> left(int64_t processes) const = 0;

  /// Begins with a piece of left(), or continues it where another writer was ended. Only this
  /// writer works on it.
  virtual void begin(const FeaturePiece& piece) = 0;

  /// The next examples of the piece: moments [n, 2 z, S, S], and the contexts of all their captions
  /// [m, L, D].
  virtual void add(const torch::Tensor& moments, const torch::Tensor& contexts) = 0;

  /// Once all pieces of all writers are complete, by one of them. `texts`: one for each caption.
  /// `empty_context` [L, D] may be undefined.
  virtual void finish(const std::vector<std::string>& texts,
                      const torch::Tensor& empty_context) = 0;
};

/// A layout: its name, and how a writer of it begins or continues in a folder.
struct FeatureLayout {
  const char* name;
  const char* help;
  /// The file that marks a finished set.
  const char* record;
  /// Takes up what the same plan began; a finished set of the same plan has nothing left to do.
  /// Throws std::invalid_argument where the folder holds another plan's set, begun or finished;
  /// std::runtime_error where it can't be written.
  std::unique_ptr<FeatureWriter> (*open)(const std::filesystem::path& folder, FeaturePlan plan);
};
base::Table<FeatureLayout>& feature_layouts();

/// plan.json records the plan until the record `finished` replaces it. Throws as
/// FeatureLayout::open does.
void begin_plan(const std::filesystem::path& folder,
                const std::filesystem::path& finished,
                const nlohmann::json& plan);
std::filesystem::path plan_path(const std::filesystem::path& folder);

/// What to say of a folder whose encoding has begun and not ended; empty where none has begun. A
/// kill may have left no more than the beginning of the plan.
std::string unfinished_text(const std::filesystem::path& folder);

}  // namespace uvic::data
