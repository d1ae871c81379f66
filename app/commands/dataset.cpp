#include "app/commands/dataset.h"

#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <vector>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "base/check.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/tensor_text.h"
#include "base/text_format.h"
#include "base/thread_loop.h"
#include "data/brace_range.h"
#include "data/captioned_set.h"
#include "data/dataset_writer.h"
#include "data/formats/output_file.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kProceduralImages = 50000;

/// Some images of a set, in the order given.
class Subset : public data::Dataset {
 public:
  Subset(const data::Dataset& whole, std::vector<int64_t> indices)
      : whole_(whole), indices_(std::move(indices)) {}

  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  int64_t image_size() const override { return whole_.image_size(); }
  const std::vector<std::string>& class_names() const override { return whole_.class_names(); }
  std::string describe() const override {
    return fmt::format("{} images of {}", size(), whole_.describe());
  }
  std::string fingerprint() const override {
    return fmt::format("{} of {}", size(), whole_.fingerprint());
  }
  int64_t read(int64_t index, uint8_t* planes) const override {
    return whole_.read(indices_[static_cast<size_t>(index)], planes);
  }
  int64_t label(int64_t index) const override {
    return whole_.label(indices_[static_cast<size_t>(index)]);
  }
  std::vector<std::string> captions(int64_t index) const override {
    return whole_.captions(indices_[static_cast<size_t>(index)]);
  }

 private:
  const data::Dataset& whole_;
  std::vector<int64_t> indices_;
};

/// The images that can be decoded; the others are named on stderr.
std::vector<int64_t> find_good(const data::Dataset& images) {
  constexpr int64_t kAtOnce = 256;
  const int64_t total = images.size(), side = images.image_size();
  std::vector<std::string> faults(static_cast<size_t>(total));
  base::CountProgress progress("checked", "images");
  for (int64_t begin = 0; begin < total; begin += kAtOnce) {
    const int64_t count = std::min(kAtOnce, total - begin);
    base::parallel_for(count, 0, [&](int64_t i) {
      std::vector<uint8_t> planes(static_cast<size_t>(3 * side * side));
      try {
        images.read(begin + i, planes.data());
      } catch (const std::runtime_error& error) {
        faults[static_cast<size_t>(begin + i)] = error.what();
      }
    });
    progress(begin + count, total);
  }
  std::vector<int64_t> good;
  for (int64_t i = 0; i < total; ++i) {
    const auto& fault = faults[static_cast<size_t>(i)];
    if (fault.empty())
      good.push_back(i);
    else
      fmt::print(stderr, "left out: {}\n", fault);
  }
  return good;
}

bool is_procedural(const std::string& source) {
  return source == "procedural" || source.rfind("procedural:", 0) == 0;
}

/// The side of all images where they are squares of one size. Throws where they are not: which size
/// the set is to have, and whether cropping is right, is not for the first file to decide.
int64_t size_of_all(const std::string& source, data::DatasetOptions options) {
  options.image_size = 0;
  const auto opened = metrics::open_images(source, options);
  if (!opened.own_sizes) return opened.images->image_size();
  const auto sizes = metrics::survey_sizes(*opened.images, opened.images->size());
  if (sizes.empty())
    throw std::runtime_error(
        fmt::format("{}: none of {} images can be decoded", source, opened.images->size()));
  const auto side = metrics::common_side(sizes);
  base::require(side > 0,
                "{}: images are not squares of one size ({}); --image_size N crops each to its "
                "centre square and resizes that to N px",
                source,
                metrics::sizes_text(sizes));
  return side;
}

/// The files to write. Throws where they can't be, or exist and are no others than asked for.
std::vector<fs::path> archives_of(const DatasetCommandOptions& options) {
  std::vector<fs::path> paths = {options.out};
  if (fs::path(options.out).extension() == ".tar") {
    const auto names = data::expand_braces(options.out);
    paths.assign(names.begin(), names.end());
  }
  std::vector<std::string> outputs;
  for (const auto& path : paths) outputs.push_back(path.string());
  formats::refuse_same_file(outputs, {options.source});
  const bool goes_on = data::is_begun(paths);
  for (const auto& path : paths) formats::check_output_file(path, options.overwrite || goes_on);
  return paths;
}

}  // namespace

void DatasetCommandOptions::validate() const {
  if (source.empty() || out.empty())
    throw std::invalid_argument("dataset: give the images and the archive to write");
  const auto ending = fs::path(out).extension();
  if (ending != ".zip" && ending != ".tar")
    throw std::invalid_argument(fmt::format("{}: want a name ending in .zip or .tar", out));
  base::require(!captions || ending == ".tar",
                "--captions: {} has no place for them; give a name ending in .tar",
                out);
  base::check_fields(*this);
}

DatasetResult run_dataset(const DatasetCommandOptions& options) {
  options.validate();
  const auto outputs = archives_of(options);
  data::DatasetOptions opening;
  opening.image_size = options.image_size;
  opening.memory_limit_mib = 0;  // each image is read once
  opening.procedural_images = options.num_images > 0 ? options.num_images : kProceduralImages;
  const auto array = metrics::array_path(options.source);
  if (!array.path.empty() && metrics::recognise_arrays(array).images.empty())
    throw std::runtime_error(options.source + ": statistics or features, want images");
  if (opening.image_size == 0) opening.image_size = size_of_all(options.source, opening);
  auto opened = metrics::open_images(options.source, opening);
  if (options.captions) opened.images = data::open_captioned_dataset(options.source, opening);
  const auto& images = *opened.images;

  std::vector<int64_t> indices;
  if (options.skip_bad) {
    indices = find_good(images);
  } else {
    for (int64_t i = 0; i < images.size(); ++i) indices.push_back(i);
  }
  DatasetResult result;
  const auto found = static_cast<int64_t>(indices.size());
  result.left_out = images.size() - found;
  if (found == 0)
    throw std::runtime_error(
        fmt::format("{}: none of {} images can be decoded", options.source, images.size()));
  if (options.num_images > found)
    throw std::invalid_argument(fmt::format(
        "--num_images {}: {} has {} images", options.num_images, options.source, found));
  if (options.num_images > 0 && !is_procedural(options.source)) {
    std::vector<int64_t> spread;
    for (int64_t i = 0; i < options.num_images; ++i)
      spread.push_back(
          indices[static_cast<size_t>(base::spread_index(i, options.num_images, found))]);
    indices = std::move(spread);
  }
  const Subset chosen(images, std::move(indices));
  const base::CountProgress progress("written", "images");
  if (fs::path(options.out).extension() == ".tar")
    data::write_dataset_tars(chosen, outputs, progress);
  else
    data::write_dataset_zip(chosen, options.out, progress);
  for (const auto& path : outputs)  // a device has no size
    if (std::error_code error; fs::is_regular_file(path, error))
      result.bytes += fs::file_size(path);
  result.notes = images.notes();
  result.finished = true;
  result.images = chosen.size();
  result.classes = static_cast<int64_t>(chosen.class_names().size());
  result.image_size = chosen.image_size();
  return result;
}

void add_dataset_command(CLI::App& app) {
  auto options = std::make_shared<DatasetCommandOptions>();
  auto* command =
      app.add_subcommand("dataset",
                         "Write images as one zip, as EDM, EDM2 and StyleGAN read it, or as tars "
                         "of WebDataset");
  command
      ->add_option("SOURCE",
                   options->source,
                   fmt::format("Images: {}, an array (.npz, .npy)", data::data_source_list()))
      ->required();
  command
      ->add_option("OUT",
                   options->out,
                   "The archive to write: NAME.zip, NAME.tar, or several as "
                   "NAME-{0000..0015}.tar")
      ->required();
  add_fields(*command, *options);
  command->callback([options] {
    base::set_up_process(0);
    base::catch_stop_signals();
    try {
      const auto result = run_dataset(*options);
      print_json({{"out", options->out},
                  {"images", result.images},
                  {"image_size", result.image_size},
                  {"classes", result.classes},
                  {"bytes", result.bytes},
                  {"left_out", result.left_out},
                  {"notes", result.notes}});
      fmt::print("{}  {} images of {} px, {}, {}\n",
                 options->out,
                 result.images,
                 result.image_size,
                 result.classes > 0 ? fmt::format("{} classes", result.classes) : "no labels",
                 base::bytes_text(static_cast<double>(result.bytes)));
      for (const auto& note : result.notes) fmt::print(stderr, "note: {}\n", note);
      if (result.left_out > 0)
        fmt::print("{} files that can't be decoded were left out\n", result.left_out);
    } catch (const base::StopRequested&) {
      fmt::print(stderr, "stopped; the same command continues\n");
    }
  });
}

}  // namespace uvic::app
