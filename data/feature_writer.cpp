#include "data/feature_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "data/feature_folders.h"
#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/npy.h"
#include "data/formats/npy_object.h"
#include "data/latent_store.h"
#include "data/latent_store_writer.h"
#include "data/source_path.h"

namespace uvic::data {
namespace fs = std::filesystem;
namespace {

/// INDEX.npy and INDEX_K.npy, each whole or not at all. An example's latent is written last.
class FolderWriter : public FeatureWriter {
 public:
  FolderWriter(fs::path folder, FeaturePlan plan)
      : folder_(std::move(folder)), plan_(std::move(plan)) {
    begin_plan(folder_, folder_ / kFolderRecord, plan_.info.to_json());
  }

  std::vector<FeaturePiece> left(int64_t processes) const override {
    std::vector<int64_t> missing;
    for (int64_t i = 0; i < plan_.info.images; ++i)
      if (!is_there(feature_path(folder_, i))) missing.push_back(i);
    const auto count = static_cast<int64_t>(missing.size());
    std::vector<FeaturePiece> pieces;
    for (int64_t process = 0, at = 0; process < processes; ++process)
      for (const int64_t end = count * (process + 1) / processes; at < end; ++at) {
        const auto index = missing[static_cast<size_t>(at)];
        if (pieces.empty() || pieces.back().process != process || pieces.back().end != index)
          pieces.push_back({index, index, process});
        pieces.back().end = index + 1;
      }
    return pieces;
  }

  void begin(const FeaturePiece& piece) override { next_ = piece.begin; }

  void add(const torch::Tensor& moments, const torch::Tensor& contexts) override {
    int64_t row = 0;
    for (int64_t i = 0; i < moments.size(0); ++i, ++next_) {
      const auto at = static_cast<size_t>(next_);
      const auto captions = plan_.caption_counts.empty() ? 0 : plan_.caption_counts[at];
      for (int64_t k = 0; k < captions; ++k)
        formats::write_npy(context_feature_path(folder_, next_, k),
                           contexts[row++].to(plan_.info.context_dtype));
      const auto path = feature_path(folder_, next_);
      if (plan_.labels.empty())
        formats::write_npy(path, moments[i].to(plan_.info.moments_dtype));
      else
        formats::write_file_atomically(path, formats::npy_of_pair(moments[i], plan_.labels[at]));
    }
  }

  void finish(const std::vector<std::string>&, const torch::Tensor& empty_context) override {
    if (empty_context.defined())
      formats::write_npy(folder_ / "empty_context.npy", empty_context.to(torch::kFloat32));
    formats::write_json(folder_ / kFolderRecord, plan_.info.to_json());
    fs::remove(plan_path(folder_));
  }

 private:
  fs::path folder_;
  FeaturePlan plan_;
  int64_t next_ = 0;
};

std::unique_ptr<FeatureWriter> open_store(const fs::path& folder, FeaturePlan plan) {
  return std::make_unique<LatentStoreWriter>(folder, std::move(plan));
}

std::unique_ptr<FeatureWriter> open_folder(const fs::path& folder, FeaturePlan plan) {
  base::require(plan.labels.empty() || plan.info.moments_dtype == torch::kFloat32,
                "--moments_dtype: the official folders of ImageNet hold float32");
  return std::make_unique<FolderWriter>(folder, std::move(plan));
}

}  // namespace

base::Table<FeatureLayout>& feature_layouts() {
  static base::Table<FeatureLayout> layouts(
      "layout",
      {{"store",
        "a few large memory-mapped files, for millions of images",
        kStoreRecord,
        open_store},
       {"features",
        "the official code's folders, a file for each latent and each caption: the form of "
        "ImageNet with labels, that of MS-COCO with captions",
        kFolderRecord,
        open_folder}});
  return layouts;
}

fs::path plan_path(const fs::path& folder) { return folder / "plan.json"; }

namespace {

/// Whether there is nothing but what a kill during the writing of the plan left, which the next
/// writer of that name removes.
bool is_unused(const fs::path& folder) {
  const auto left = plan_path(folder).filename().string() + ".uvic";
  const fs::directory_iterator files(folder);
  return std::all_of(begin(files), end(files), [&](const fs::directory_entry& file) {
    return file.path().filename().string().rfind(left, 0) == 0;
  });
}

/// The same, of a folder with at least one file.
bool holds_begun_plan(const fs::path& folder) {
  std::error_code error;
  return !fs::is_empty(folder, error) && !error && is_unused(folder);
}

/// A plan without what changes no feature: where files are (their content is compared), and a scale
/// that moments never have.
nlohmann::json without_places(nlohmann::json plan) {
  auto from = plan.find("made_from");
  if (from == plan.end() || !from->is_object()) return plan;
  from->erase("images");
  const auto part = [&](const char* key) {
    const auto found = from->find(key);
    return found != from->end() && found->is_object() ? &*found : nullptr;
  };
  if (auto* autoencoder = part("autoencoder"))
    for (const auto* key : {"autoencoder", "latent_scale", "latent_shift"}) autoencoder->erase(key);
  if (auto* text = part("text"); text && text->contains("text_encoder_sha256"))
    text->erase("text_encoder");
  return plan;
}

/// "\"made_from.crop\" was \"adm\", is \"lanczos\"": the first value that differs, or that only one of
/// them has.
std::string first_difference(const std::string& key,
                             const nlohmann::json& before,
                             const nlohmann::json& now) {
  if (before == now) return "";
  if (!before.is_object() || !now.is_object())
    return fmt::format("\"{}\" was {}, is {}", key, before.dump(), now.dump());
  for (const auto& [name, value] : now.items()) {
    auto text = first_difference(key.empty() ? name : fmt::format("{}.{}", key, name),
                                 before.value(name, nlohmann::json()),
                                 value);
    if (!text.empty()) return text;
  }
  for (const auto& [name, value] : before.items())
    if (!now.contains(name) && !value.is_null())
      return fmt::format("\"{}\" was {}, is null",
                         key.empty() ? name : fmt::format("{}.{}", key, name),
                         value.dump());
  return "";
}

/// Throws std::invalid_argument where `before` was not made by `plan`.
void check_plan(const fs::path& record, const nlohmann::json& plan, const std::string& what) {
  const auto before = formats::read_json(record);
  if (!before.is_object())
    throw formats::file_error(record.string(), "not a record of uvic encode; remove the folder");
  const auto other = first_difference("", without_places(before), without_places(plan));
  base::require(other.empty(),
                "{}: {}: {}; choose another --out, or remove the folder",
                record.parent_path().string(),
                what,
                other);
}

}  // namespace

std::string unfinished_text(const fs::path& folder) {
  if (!is_there(plan_path(folder)) && !holds_begun_plan(folder)) return "";
  return "its latents are not complete yet: uvic encode was stopped; run the same command again, "
         "with this folder as --out, and it encodes the rest";
}

void begin_plan(const fs::path& folder, const fs::path& finished, const nlohmann::json& plan) {
  formats::make_folder(folder);
  for (const auto& layout : feature_layouts()) {
    const auto record = folder / layout.record;
    if (!is_there(record)) continue;
    base::require(record == finished,
                  "{}: holds a finished set of latents of layout {}; choose another --out",
                  folder.string(),
                  layout.name);
    return check_plan(record, plan, "holds a finished set of latents");
  }
  if (is_there(plan_path(folder)))
    return check_plan(plan_path(folder), plan, "another uvic encode began here");
  base::require(is_unused(folder),
                "{}: holds files of something else; choose another --out",
                folder.string());
  formats::write_json(plan_path(folder), plan);
}

}  // namespace uvic::data
