#include "data/dataset.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "base/text_format.h"
#include "data/cifar10.h"
#include "data/formats/atomic_file.h"
#include "data/formats/file_kind.h"
#include "data/image_files.h"
#include "data/image_folder.h"
#include "data/image_tars.h"
#include "data/image_zip.h"
#include "data/procedural.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code error;  // a name too long, a folder closed to us: reported as absent
  return fs::exists(path, error);
}

uint64_t parse_seed(const std::string& source) {
  const std::string digits = source.substr(source.find(':') + 1);
  uint64_t seed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seed);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    throw std::invalid_argument(fmt::format(
        "{}: \"{}\" is no seed; write procedural or, with a seed, procedural:7", source, digits));
  return seed;
}

std::unique_ptr<FileContainer> open_file(const fs::path& path) {
  const auto head = formats::read_beginning(path, 512);
  if (head.rfind("PK\3\4", 0) == 0 || head.rfind("PK\5\6", 0) == 0) return open_image_zip(path);
  const auto kind = formats::content_text(head);
  throw std::runtime_error(fmt::format("{}: neither a zip or tar archive nor a folder of images{}",
                                       path.string(),
                                       kind.empty() ? "" : ": it is " + kind));
}

/// PATH, and the part that ":train" or ":test" at its end names.
struct PathAndPart {
  fs::path path;
  std::string part;
};

PathAndPart split_part(const std::string& source) {
  PathAndPart split{source, ""};
  for (const char* name : {"train", "test"}) {
    if (is_there(split.path) || !base::ends_with(source, std::string(":") + name)) continue;
    split.part = name;
    split.path = source.substr(0, source.size() - split.part.size() - 1);
  }
  return split;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::unique_ptr<Dataset> open_procedural(const std::string& source, const DatasetOptions& options) {
  if (source != "procedural" && source.rfind("procedural:", 0) != 0) return nullptr;
  const bool has_seed = source.find(':') != std::string::npos;
  return std::make_unique<ProceduralDataset>(
      options.procedural_images,
      options.image_size,
      has_seed ? parse_seed(source) : static_cast<uint64_t>(options.procedural_seed));
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
           /*labelled=*/true,
           open_procedural},
          {"cifar10",
           "the folder of CIFAR-10's binary version (PATH:test for its test part)",
           /*labelled=*/true,
           open_cifar10},
          {"folder",
           "a folder of PNG, JPEG, WebP or BMP files, a subfolder for each class or none",
           /*labelled=*/true,
           open_folder},
          {"tar",
           "a tar archive or a brace range of them (train-{0000..0146}.tar) as WebDataset packs "
           "them, "
           "classes in KEY.cls",
           /*labelled=*/true,
           open_tars},
          {"zip",
           "a zip archive of the same, or with EDM's dataset.json",
           /*labelled=*/true,
           open_zip},
      });
  return sources;
}

void DatasetOptions::validate() const {
  base::check_fields(*this, "dataset.");
  if (image_size < 1)
    throw std::invalid_argument(fmt::format("--dataset.image_size {}: give 1 or more", image_size));
}

torch::Tensor Dataset::read_whole(int64_t index) const {
  auto planes = torch::empty({3, image_size(), image_size()}, torch::kUInt8);
  read(index, planes.data_ptr<uint8_t>());
  return planes;
}

formats::ImageSize Dataset::own_size(int64_t) const {
  return {static_cast<int>(image_size()), static_cast<int>(image_size())};
}

bool is_same_data(const Dataset& dataset, const std::string& fingerprint) {
  for (const char* old : {" listing=", " first="})
    if (fingerprint.find(old) != std::string::npos)
      return fingerprint == dataset.fingerprint_of_listing();
  return fingerprint == dataset.fingerprint();
}

std::unique_ptr<Dataset> open_dataset(const std::string& source, const DatasetOptions& options) {
  options.validate();
  for (const auto& kind : data_sources())
    if (auto dataset = kind.open(source, options)) return dataset;
  throw std::runtime_error(
      fmt::format("{}: no such file or folder; give a folder, zip or tar archive of images, the "
                  "folder of CIFAR-10's binary version, or the word procedural",
                  split_part(source).path.string()));
}

}  // namespace uvic::data
