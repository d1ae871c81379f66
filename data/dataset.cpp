#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <stdexcept>

#include "data/cifar10.h"
#include "data/formats/atomic_file.h"
#include "data/formats/file_kind.h"
#include "data/image_files.h"
#include "data/image_folder.h"
#include "data/image_tars.h"
#include "data/image_zip.h"
#include "data/imagenet.h"
#include "data/latents.h"
#include "data/procedural.h"
#include "data/recorded_form.h"
#include "data/source_path.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

uint64_t parse_seed(const std::string& source) {
  const std::string digits = source.substr(source.find(':') + 1);
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    throw std::invalid_argument(
        fmt::format("{}: \"{}\" is not a seed; write procedural or, with a seed, procedural:7",
                    source,
                    digits));
  return seed;
}

std::unique_ptr<FileContainer> open_file(const fs::path& path) {
  const auto head = formats::read_beginning(path, 512);
  if (head.rfind("PK\3\4", 0) == 0 || head.rfind("PK\5\6", 0) == 0) return open_image_zip(path);
  auto kind = formats::content_text(head);
  const auto first = head.find_first_not_of(" \t\r\n");
  if (kind.empty() && first != std::string::npos && (head[first] == '{' || head[first] == '['))
    kind = "JSON; captions such as MS-COCO's are for networks with text, given with --text_encoder";
  throw std::runtime_error(fmt::format("{}: neither a zip or tar archive nor a folder of images{}",
                                       path.string(),
                                       kind.empty() ? "" : ": it is " + kind));
}

std::unique_ptr<Dataset> open_procedural(const std::string& source, const DatasetOptions& options) {
  if (source != "procedural" && source.rfind("procedural:", 0) != 0) return nullptr;
  const bool has_seed = source.find(':') != std::string::npos;
  return std::make_unique<ProceduralDataset>(
      options.procedural_images,
      options.image_size,
      has_seed ? parse_seed(source) : static_cast<uint64_t>(options.procedural_seed));
}

/// "procedural-text", and after colons in any order a seed, a split (seen, unseen, all) and the
/// attribute that labels say.
std::unique_ptr<Dataset> open_procedural_text(const std::string& source,
                                              const DatasetOptions& options) {
  const std::string kind = "procedural-text";
  if (source.rfind(kind, 0) != 0 || (source.size() > kind.size() && source[kind.size()] != ':'))
    return nullptr;
  auto seed = static_cast<uint64_t>(options.procedural_seed);
  auto split = CaptionSplit::kSeen;
  std::string label = "shape";
  for (size_t at = kind.size(); at < source.size();) {
    const auto end = std::min(source.find(':', at + 1), source.size());
    const auto word = source.substr(at + 1, end - at - 1);
    at = end;
    if (!word.empty() && word.find_first_not_of("0123456789") == std::string::npos)
      seed = parse_seed(":" + word);
    else if (word == "seen" || word == "unseen" || word == "all")
      split = word == "seen"     ? CaptionSplit::kSeen
              : word == "unseen" ? CaptionSplit::kUnseen
                                 : CaptionSplit::kAll;
    else
      label = word;
  }
  return std::make_unique<CaptionedProcedural>(
      options.procedural_images, options.image_size, seed, split, label);
}

std::unique_ptr<Dataset> open_cifar10(const std::string& source, const DatasetOptions& options) {
  const auto [path, part] = split_part(source);
  if (!is_folder(path)) return nullptr;
  const auto cifar = find_cifar10(path);
  if (cifar.empty()) return nullptr;
  return std::make_unique<Cifar10>(cifar, part, options.image_size);
}

void refuse_part(const PathAndPart& source) {
  if (!source.part.empty())
    throw std::runtime_error(
        fmt::format("{}: not CIFAR-10's binary version, so it has no part \":{}\"",
                    source.path.string(),
                    source.part));
}

std::unique_ptr<Dataset> open_folder(const std::string& source, const DatasetOptions& options) {
  const auto split = split_part(source);
  if (!is_folder(split.path)) return nullptr;
  refuse_part(split);
  return std::make_unique<ImageFiles>(open_image_folder(split.path), options);
}

std::unique_ptr<Dataset> open_imagenet_part(const std::string& source,
                                            const DatasetOptions& options) {
  const auto [path, part] = split_part(source, {"train", "val"});
  if (!is_folder(path) || !is_imagenet(path)) return nullptr;
  return std::make_unique<ImageFiles>(open_imagenet(path, part.empty() ? "train" : part), options);
}

std::unique_ptr<Dataset> open_tars(const std::string& source, const DatasetOptions& options) {
  const auto tars = find_tars(source);
  if (tars.empty()) return nullptr;
  return std::make_unique<ImageFiles>(open_image_tars(source, tars), options);
}

std::unique_ptr<Dataset> open_zip(const std::string& source, const DatasetOptions& options) {
  const auto split = split_part(source);
  if (!is_there(split.path) || is_folder(split.path)) return nullptr;
  refuse_part(split);
  return std::make_unique<ImageFiles>(open_file(split.path), options);
}

}  // namespace

base::Table<DataSource>& data_sources() {
  static base::Table<DataSource> sources(
      "data",
      {
          {"procedural",
           "ten classes of shapes on textured grounds, made on the fly (procedural:7 for seed 7)",
           "procedural",
           /*labelled=*/true,
           open_procedural},
          {"procedural-text",
           "the same with captions, without some combinations of shape and colour "
           "(procedural-text:unseen has only those, procedural-text:colour labels by colour)",
           "procedural-text",
           /*labelled=*/true,
           open_procedural_text},
          {"cifar10",
           "the folder of CIFAR-10's binary version (PATH:test for its test part)",
           "CIFAR-10's binary folder",
           /*labelled=*/true,
           open_cifar10},
          {"latents",
           "the folder of latents that uvic encode writes",
           "a folder of uvic encode",
           /*labelled=*/true,
           open_latent_store,
           /*is_latent=*/true},
          {"features",
           "a feature folder of the official code, ImageNet's or MS-COCO's (PATH:val for its "
           "validation part)",
           "a feature folder of the official code",
           /*labelled=*/true,
           open_feature_folder,
           /*is_latent=*/true},
          {"imagenet",
           "ImageNet as it is distributed, with LOC_synset_mapping.txt (PATH:val for its "
           "validation part)",
           "ImageNet's folder",
           /*labelled=*/true,
           open_imagenet_part},
          {"folder",
           "a folder of PNG, JPEG, WebP or BMP files, a subfolder for each class or none",
           "a folder of images",
           /*labelled=*/true,
           open_folder},
          {"tar",
           "a tar archive or a brace range of them (train-{0000..0146}.tar) as WebDataset packs "
           "them, classes in KEY.cls",
           "tars of images",
           /*labelled=*/true,
           open_tars},
          {"zip",
           "a zip archive of the same, or with EDM's dataset.json",
           "a zip of images",
           /*labelled=*/true,
           open_zip},
      });
  return sources;
}

std::string data_source_list(bool latents) {
  std::vector<std::string> all;
  for (const auto& source : data_sources())
    if (source.is_latent == latents) all.emplace_back(source.give);
  return fmt::format("{}", fmt::join(all, ", "));
}

void DatasetOptions::validate() const {
  base::check_fields(*this, "dataset.");
  if (image_size < 1)
    throw std::invalid_argument(fmt::format("--dataset.image_size {}: give 1 or more", image_size));
}

torch::Tensor Dataset::empty_context() const { return {}; }

torch::Tensor Dataset::read_whole(int64_t index) const {
  auto planes = torch::empty({3, image_size(), image_size()}, torch::kUInt8);
  read(index, planes.data_ptr<uint8_t>());
  return planes;
}

formats::ImageSize Dataset::own_size(int64_t) const {
  return {static_cast<int>(image_size()), static_cast<int>(image_size())};
}

int64_t Dataset::label(int64_t index) const {
  std::vector<uint8_t> planes(static_cast<size_t>(3 * image_size() * image_size()));
  return read(index, planes.data());
}

int64_t Dataset::read_example(int64_t index, uint64_t, const ExampleMemory& to) const {
  return read(index, static_cast<uint8_t*>(to.image));
}

std::vector<std::string> Dataset::captions(int64_t) const { return {}; }

bool is_same_data(const Examples& examples, const std::string& fingerprint) {
  if (const auto* forms = dynamic_cast<const FingerprintForms*>(&examples))
    return fingerprint == forms->fingerprint_like(fingerprint);
  for (const char* old : {" listing=", " first="})
    if (fingerprint.find(old) != std::string::npos)
      return fingerprint == examples.fingerprint_of_listing();
  return fingerprint == examples.fingerprint();
}

std::unique_ptr<Dataset> open_dataset(const std::string& source, const DatasetOptions& options) {
  options.validate();
  for (const auto& kind : data_sources())
    if (auto dataset = kind.open(source, options)) return dataset;
  throw std::runtime_error(
      fmt::format("{}: no such file or folder; give one of: {}; or latents: {}",
                  split_part(source).path.string(),
                  data_source_list(),
                  data_source_list(/*latents=*/true)));
}

}  // namespace uvic::data

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::data::DatasetOptions&);
