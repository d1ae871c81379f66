#include "app/commands/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <future>
#include <memory>
#include <utility>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/latent_space.h"
#include "app/runs/text_encoder.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/thread_loop.h"
#include "data/captioned_set.h"
#include "data/formats/output_file.h"
#include "data/pixel_range.h"
#include "data/resize.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
namespace {

/// An example of the set: an image, or its mirror image.
struct Source {
  int64_t image;
  bool mirrored;
};

/// The official order: each batch of 256 images, then the batch mirrored.
Source source_of(int64_t example, int64_t images, bool mirror) {
  constexpr int64_t kBatch = 256;
  if (!mirror) return {example, false};
  const int64_t first = example / (2 * kBatch) * kBatch, place = example % (2 * kBatch);
  const int64_t size = std::min(kBatch, images - first);
  return {first + place % size, place >= size};
}

void mirror(formats::Image& image) {
  auto* pixel = reinterpret_cast<std::array<uint8_t, 3>*>(image.rgb.data());
  for (int y = 0; y < image.height; ++y, pixel += image.width)
    std::reverse(pixel, pixel + image.width);
}

/// As planes [3, height, width].
void write_planes(const formats::Image& image, uint8_t* planes) {
  const auto plane = static_cast<size_t>(image.height) * static_cast<size_t>(image.width);
  for (size_t p = 0; p < plane; ++p)
    for (size_t c = 0; c < 3; ++c) planes[c * plane + p] = image.rgb[3 * p + c];
}

torch::ScalarType stored_dtype(const std::string& name) {
  return name == "float16" ? torch::kFloat16 : torch::kFloat32;
}

class Encoder {
 public:
  Encoder(const EncodeOptions& options, torch::Device device)
      : options_(options),
        images_(open_images(options)),
        count_(options.num_images > 0 ? std::min(options.num_images, images_->size())
                                      : images_->size()),
        crop_(data::square_crops().at(options.crop)) {
    const auto compute = base::compute_dtype(base::resolve_precision(options.precision, device));
    latent_ = std::make_shared<LatentSpace>(options.encoders, device, compute);
    const auto f = latent_->downsampling();
    base::require(options.image_size % f == 0,
                  "--image_size {}: give a multiple of {}, the autoencoder's downsampling",
                  options.image_size,
                  f);
    if (options.encoders.text_encoder.empty()) return;
    text_ = open_text_encoder(options.encoders, {}, device, compute);
    read_captions();
  }

  data::FeaturePlan plan() const {
    data::FeaturePlan plan;
    auto& info = plan.info;
    info.images = examples();
    info.channels = 2 * latent_->shape().latent_channels;
    info.size = options_.image_size / latent_->downsampling();
    info.moments_dtype = stored_dtype(options_.moments_dtype);
    info.context_dtype = stored_dtype(options_.context_dtype);
    info.shard_images = options_.shard_images;
    info.mirrored = options_.mirror;
    info.made_from = {{"images", images_->describe()},
                      {"fingerprint", images_->fingerprint()},
                      {"image_size", options_.image_size},
                      {"crop", options_.crop},
                      {"precision", options_.precision},
                      {"autoencoder", latent_->record()},
                      {"version", UVIC_VERSION}};
    if (text_) {
      info.context_tokens = text_->tokens();
      info.context_dim = text_->width();
      info.made_from["text"] = text_->record();
      for (const auto& captions : captions_)
        plan.caption_counts.push_back(static_cast<int64_t>(captions.size()));
    } else if (!images_->class_names().empty()) {
      info.class_names = images_->class_names();
      for (int64_t i = 0; i < examples(); ++i)
        plan.labels.push_back(images_->label(source_of(i, count_, options_.mirror).image));
    }
    return plan;
  }

  int64_t examples() const { return count_ * (options_.mirror ? 2 : 1); }

  /// Pixels of examples begin .. end - 1, uint8 [n, 3, S, S], decoded on all threads.
  torch::Tensor read(int64_t begin, int64_t end) const {
    const auto side = options_.image_size;
    auto batch = torch::empty({end - begin, 3, side, side}, torch::kUInt8);
    auto* pixels = batch.data_ptr<uint8_t>();
    base::parallel_for(end - begin, options_.threads, [&](int64_t i) {
      const auto [index, mirrored] = source_of(begin + i, count_, options_.mirror);
      const auto whole = data::image_of_planes(images_->read_whole(index));
      auto square = crop_.fit(whole, static_cast<int>(side));
      if (mirrored) mirror(square);
      write_planes(square, pixels + i * 3 * side * side);
    });
    return batch;
  }

  torch::Tensor moments(const torch::Tensor& pixels) const {
    return latent_->moments(data::to_network_range(pixels));
  }
  /// Features of every caption of examples begin .. end - 1.
  torch::Tensor contexts(int64_t begin, int64_t end) const {
    if (!text_) return {};
    std::vector<std::string> texts;
    for (int64_t i = begin; i < end; ++i)
      texts.insert(texts.end(),
                   captions_[static_cast<size_t>(i)].begin(),
                   captions_[static_cast<size_t>(i)].end());
    return text_->encode(texts);
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (const auto& captions : captions_) all.insert(all.end(), captions.begin(), captions.end());
    return all;
  }
  torch::Tensor empty_context() const {
    return text_ ? text_->encode(std::vector<std::string>{""})[0] : torch::Tensor();
  }

 private:
  static std::unique_ptr<data::Dataset> open_images(const EncodeOptions& options) {
    auto dataset = options.dataset;
    dataset.image_size = options.image_size;
    dataset.memory_limit_mib = 0;  // each image is read once
    auto images = options.encoders.text_encoder.empty()
                      ? data::open_dataset(options.data, dataset)
                      : data::open_captioned_dataset(options.data, dataset);
    base::require(!images->format().is_latent, "{}: holds latents already", options.data);
    for (const auto& note : images->notes()) fmt::print(stderr, "note: {}\n", note);
    return images;
  }

  void read_captions() {
    std::string note;
    int64_t notes = 0;
    for (int64_t i = 0; i < count_; ++i) {
      captions_.push_back(images_->captions(i));
      base::require(!captions_.back().empty(),
                    "{}: image {} has no caption, and --text_encoder encodes captions",
                    options_.data,
                    i);
      for (const auto& caption : captions_.back()) {
        std::string own;
        text_->tokenize(caption, &own);
        if (own.empty()) continue;
        if (notes++ == 0) note = own;
      }
    }
    if (notes > 0)
      fmt::print(stderr,
                 "note: {}{}\n",
                 note,
                 notes > 1 ? fmt::format("; {} more captions like this", notes - 1) : "");
  }

  const EncodeOptions& options_;
  std::unique_ptr<data::Dataset> images_;
  int64_t count_;
  const data::SquareCrop& crop_;
  std::shared_ptr<const LatentSpace> latent_;
  std::shared_ptr<const TextEncoder> text_;
  std::vector<std::vector<std::string>> captions_;  // of each image
};

/// Encodes and writes what is missing; the next batch is decoded meanwhile.
void encode_rest(const Encoder& encoder, data::FeatureWriter& writer, int64_t batch_size) {
  const int64_t total = encoder.examples(), first = writer.done();
  auto progress = base::CountProgress("encoded", "images").from(first);
  const auto read = [&](int64_t begin) {
    return std::async(std::launch::async, [&encoder, begin, batch_size, total] {
      return encoder.read(begin, std::min(total, begin + batch_size));
    });
  };
  std::future<torch::Tensor> ahead;
  if (first < total) ahead = read(first);
  for (int64_t begin = first; begin < total; begin += batch_size) {
    const auto end = std::min(total, begin + batch_size);
    const auto pixels = ahead.get();
    if (end < total) ahead = read(end);
    writer.add(encoder.moments(pixels), encoder.contexts(begin, end));
    progress(end, total);
  }
}

}  // namespace

void EncodeOptions::validate() const {
  base::check_fields(*this);
  base::require(!data.empty(), "--data is missing; give the images to encode");
  base::require(!out.empty(), "--out is missing; give the folder of the features");
  base::require(!mirror || encoders.text_encoder.empty(),
                "--mirror: the captions of a mirrored image may no longer hold; not with "
                "--text_encoder");
  formats::refuse_flag_as_path(out);
}

bool run_encode(const EncodeOptions& options) {
  options.validate();
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  const torch::Device device(base::choose_device(options.device));
  const Encoder encoder(options, device);
  const auto writer = data::feature_layouts().at(options.layout).open(options.out, encoder.plan());
  if (writer->done() > 0)
    base::say_progress(
        fmt::format("{} of {} examples already exist", writer->done(), encoder.examples()));
  try {
    encode_rest(encoder, *writer, options.batch_size);
  } catch (const base::StopRequested&) {
    return false;
  }
  writer->finish(encoder.texts(), encoder.empty_context());
  fmt::print("{}: {} latents\n", options.out, encoder.examples());
  print_json({{"out", options.out}, {"latents", encoder.examples()}});
  return true;
}

void add_encode_command(CLI::App& app) {
  auto options = std::make_shared<EncodeOptions>();
  auto* command = app.add_subcommand(
      "encode", "Encode images to latents and captions to features, once, for training");
  add_fields(*command, *options);
  command->callback([options] {
    if (!run_encode(*options)) fmt::print(stderr, "stopped; the same command encodes the rest\n");
  });
}

}  // namespace uvic::app
