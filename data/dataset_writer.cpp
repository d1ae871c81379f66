#include "data/dataset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "base/thread_loop.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/part_file.h"
#include "data/formats/tar_writer.h"
#include "data/formats/zip_writer.h"

namespace uvic::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kAtOnce = 256;  // images between two calls of `progress`

/// 12345678 -> 12345/img12345678.png
std::string entry_name(int64_t index) {
  const auto digits = fmt::format("{:08}", index);
  return fmt::format("{}/img{}.png", digits.substr(0, 5), digits);
}

/// What a part was begun for.
std::string plan_of(const Dataset& dataset, const std::string& form) {
  return fmt::format("{} of {} images, {} px, {} classes, {}",
                     form,
                     dataset.size(),
                     dataset.image_size(),
                     dataset.class_names().size(),
                     dataset.fingerprint());
}

struct EncodedImages {
  std::vector<std::vector<uint8_t>> pngs;
  std::vector<int64_t> classes;
};

/// PNGs of images begin .. end - 1, made by all cores.
EncodedImages encode_images(const Dataset& dataset, int64_t begin, int64_t end) {
  const int64_t side = dataset.image_size(), plane = side * side, count = end - begin;
  EncodedImages encoded{std::vector<std::vector<uint8_t>>(static_cast<size_t>(count)),
                        std::vector<int64_t>(static_cast<size_t>(count))};
  base::parallel_for(count, 0, [&](int64_t i) {
    std::vector<uint8_t> planes(static_cast<size_t>(3 * plane));
    const auto at = static_cast<size_t>(i);
    encoded.classes[at] = dataset.read(begin + i, planes.data());
    formats::Image image{static_cast<int>(side), static_cast<int>(side), {}};
    image.rgb.resize(planes.size());
    for (int64_t p = 0; p < plane; ++p)
      for (int64_t c = 0; c < 3; ++c) image.rgb[3 * p + c] = planes[c * plane + p];
    encoded.pngs[at] = formats::encode_png(image);
  });
  return encoded;
}

/// Says where a part may be cut after a kill, at most every second: each is a flush of the disk.
class Checkpoints {
 public:
  explicit Checkpoints(formats::PartFile* part) : part_(part) {}
  void reached(int64_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (!part_ || now - last_ < std::chrono::seconds(1)) return;
    part_->checkpoint(done);
    last_ = std::chrono::steady_clock::now();
  }

 private:
  formats::PartFile* part_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

std::string_view view_of(const std::vector<uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Of several archives: next to the first.
fs::path set_plan_path(const std::vector<fs::path>& paths) {
  auto path = paths.front();
  return path += ".uvic-plan.json";
}

std::string class_lines(const Dataset& dataset) {
  std::string lines;
  for (const auto& name : dataset.class_names()) {
    if (name.find('\n') != std::string::npos)
      throw std::runtime_error(fmt::format(
          "class {} has a line break in its name: classnames.txt has a line each", name));
    lines += name + "\n";
  }
  return lines;
}

/// Throws std::invalid_argument where the folder has other names of classes: they are those of
/// archives next to ours.
void write_class_names(const Dataset& dataset, const fs::path& folder) {
  if (dataset.class_names().empty()) return;
  const auto path = folder / "classnames.txt";
  const auto lines = class_lines(dataset);
  std::error_code error;
  if (fs::exists(path, error)) {
    if (formats::read_file(path) == lines) return;
    throw std::invalid_argument(fmt::format(
        "{}: holds the names of other classes; write into a folder of its own", path.string()));
  }
  formats::write_file_atomically(path, lines);
}

/// A line each, as KEY.txt is read; a line break within a caption becomes a space.
std::string lines_of(const std::vector<std::string>& captions) {
  std::string text;
  for (auto caption : captions) {
    for (auto& letter : caption)
      if (letter == '\n' || letter == '\r') letter = ' ';
    text += (text.empty() ? "" : "\n") + caption;
  }
  return text;
}

/// Images begin .. end - 1 into one archive.
void write_tar(const Dataset& dataset,
               const fs::path& path,
               int64_t begin,
               int64_t end,
               const Progress& progress) {
  const auto form = fmt::format("tar of images {} to {}", begin, end);
  formats::PartFile part(path, plan_of(dataset, form));
  formats::TarWriter tar(part);
  Checkpoints checkpoints(&part);
  const bool labelled = !dataset.class_names().empty();
  for (int64_t at = begin + part.done(); at < end; at += kAtOnce) {
    const int64_t stop = std::min(end, at + kAtOnce);
    const auto encoded = encode_images(dataset, at, stop);
    for (int64_t i = at; i < stop; ++i) {
      const auto key = fmt::format("{:08}", i);
      tar.add(key + ".png", view_of(encoded.pngs[static_cast<size_t>(i - at)]));
      if (labelled)
        tar.add(key + ".cls", std::to_string(encoded.classes[static_cast<size_t>(i - at)]));
      if (const auto captions = dataset.captions(i); !captions.empty())
        tar.add(key + ".txt", lines_of(captions));
    }
    checkpoints.reached(stop - begin);
    if (progress) progress(stop, dataset.size());
  }
  tar.commit();
}

}  // namespace

void write_dataset_zip(const Dataset& dataset, const fs::path& path, const Progress& progress) {
  const int64_t total = dataset.size();
  std::error_code error;
  const bool is_special = fs::exists(path, error) && !fs::is_regular_file(path, error);
  const auto part =
      is_special ? nullptr : std::make_shared<formats::PartFile>(path, plan_of(dataset, "zip"));
  auto zip = part ? formats::ZipWriter(part) : formats::ZipWriter(path);
  if (part && static_cast<int64_t>(zip.entries()) != part->done())
    throw std::runtime_error(path.string() + ".uvic-part: not what was written; remove it");
  Checkpoints checkpoints(part.get());
  auto labels = nlohmann::json::array();
  const bool labelled = !dataset.class_names().empty();
  const int64_t first = part ? part->done() : 0;
  for (int64_t i = 0; labelled && i < first; ++i)
    labels.push_back({entry_name(i), dataset.label(i)});
  for (int64_t begin = first; begin < total; begin += kAtOnce) {
    const int64_t end = std::min(total, begin + kAtOnce);
    const auto encoded = encode_images(dataset, begin, end);
    for (int64_t i = begin; i < end; ++i) {
      const auto name = entry_name(i);
      zip.add(name, view_of(encoded.pngs[static_cast<size_t>(i - begin)]));
      if (labelled) labels.push_back({name, encoded.classes[static_cast<size_t>(i - begin)]});
    }
    checkpoints.reached(end);
    if (progress) progress(end, total);
  }

  nlohmann::json json;
  json["labels"] = nullptr;
  if (labelled) {
    json["labels"] = std::move(labels);
    json["class_names"] = dataset.class_names();
  }
  zip.add("dataset.json", json.dump());
  zip.commit();
}

bool is_begun(const std::vector<fs::path>& paths) {
  std::error_code error;
  return fs::is_regular_file(set_plan_path(paths), error);
}

void write_dataset_tars(const Dataset& dataset,
                        const std::vector<fs::path>& paths,
                        const Progress& progress) {
  const auto count = static_cast<int64_t>(paths.size());
  const auto plan_file = set_plan_path(paths);
  const nlohmann::json plan = {{"plan", plan_of(dataset, fmt::format("{} tars", count))}};
  std::error_code error;
  const bool goes_on =
      is_begun(paths) && formats::try_parse_json(formats::read_file(plan_file)) == plan;
  if (!goes_on) {
    for (const auto& path : paths) fs::remove(path, error);
    formats::write_json(plan_file, plan);
  }
  const auto folder = paths.front().parent_path();
  write_class_names(dataset, folder.empty() ? fs::path(".") : folder);
  for (int64_t i = 0; i < count; ++i) {
    const auto& path = paths[static_cast<size_t>(i)];
    if (fs::exists(path, error)) continue;
    write_tar(
        dataset, path, i * dataset.size() / count, (i + 1) * dataset.size() / count, progress);
  }
  fs::remove(plan_file, error);
}

}  // namespace uvic::data
