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
#include "app/runs/processes.h"
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
#include "model/kernels/cpu/isa.h"
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
    for (const auto& note : images->notes()) say_note(note);
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
      say_note(note + (notes > 1 ? fmt::format("; {} more captions like this", notes - 1) : ""));
  }

  const EncodeOptions& options_;
  std::unique_ptr<data::Dataset> images_;
  int64_t count_;
  const data::SquareCrop& crop_;
  std::shared_ptr<const LatentSpace> latent_;
  std::shared_ptr<const TextEncoder> text_;
  std::vector<std::vector<std::string>> captions_;  // of each image
};

using Pieces = std::vector<data::FeaturePiece>;

int64_t examples_of(const Pieces& pieces) {
  int64_t count = 0;
  for (const auto& piece : pieces) count += piece.end - piece.begin;
  return count;
}

/// Opens the folder in all processes, the first before the others. What is left, of all of them.
Pieces open_writer(const EncodeOptions& options,
                   const data::FeaturePlan& plan,
                   base::ProcessGroup* group,
                   std::unique_ptr<data::FeatureWriter>& writer) {
  const auto open = [&] {
    writer = data::feature_layouts().at(options.layout).open(options.out, plan);
  };
  if (!group) return open(), writer->left(1);
  group->require_same({{"plan", plan.info.to_json().dump()},
                       {"precision",
                        base::resolve_precision(
                            options.precision, torch::Device(base::choose_device(options.device)))},
                       {"instruction set of the kernels (set UVIC_ISA on all hosts)",
                        model::isa_name(model::active_isa())}});
  auto rows = torch::empty({0, 3}, torch::kInt64);
  if (group->is_first()) {
    open();
    const auto pieces = writer->left(group->size());
    rows = torch::empty({static_cast<int64_t>(pieces.size()), 3}, torch::kInt64);
    for (size_t i = 0; i < pieces.size(); ++i) {
      auto* row = rows.data_ptr<int64_t>() + 3 * i;
      row[0] = pieces[i].begin, row[1] = pieces[i].end, row[2] = pieces[i].process;
    }
  }
  rows = group->gather_rows(rows);
  if (!group->is_first()) open();
  Pieces pieces;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const auto* row = rows.data_ptr<int64_t>() + 3 * i;
    pieces.push_back({row[0], row[1], row[2]});
  }
  return pieces;
}

/// Encodes and writes pieces; the next batch is decoded meanwhile. `done`: examples that exist.
void encode_pieces(const Encoder& encoder,
                   data::FeatureWriter& writer,
                   const Pieces& pieces,
                   int64_t batch_size,
                   int64_t done,
                   bool says) {
  std::vector<data::FeaturePiece> batches;
  for (const auto& piece : pieces)
    for (int64_t begin = piece.begin; begin < piece.end; begin += batch_size)
      batches.push_back({begin, std::min(piece.end, begin + batch_size)});
  const auto read = [&](const data::FeaturePiece& batch) {
    return std::async(std::launch::async,
                      [&encoder, batch] { return encoder.read(batch.begin, batch.end); });
  };
  auto progress = base::CountProgress("encoded", "images").from(done);
  const int64_t total = done + examples_of(pieces);
  std::future<torch::Tensor> ahead;
  if (!batches.empty()) ahead = read(batches.front());
  auto next = batches.begin();
  for (const auto& piece : pieces) {
    writer.begin(piece);
    while (next != batches.end() && next->end <= piece.end) {
      const auto batch = *next++;
      const auto pixels = ahead.get();
      if (next != batches.end()) ahead = read(*next);
      writer.add(encoder.moments(pixels), encoder.contexts(batch.begin, batch.end));
      done += batch.end - batch.begin;
      if (says) progress(done, total);
      if (base::stop_requested()) throw base::StopRequested();
    }
  }
}

void say_what_is_left(const EncodeOptions& options,
                      const Pieces& pieces,
                      int64_t examples,
                      int64_t processes) {
  const auto left = examples_of(pieces);
  if (left < examples)
    base::say_progress(fmt::format("{} of {} examples already exist", examples - left, examples));
  const auto files = static_cast<int64_t>(pieces.size());
  if (options.layout == "store" && files > 0 && files < processes)
    fmt::print(stderr,
               "note: {} of {} processes have nothing to do: each writes whole files of the store, "
               "and {} {} left; a smaller --shard_images makes more\n",
               processes - files,
               processes,
               files,
               files == 1 ? "is" : "are");
}

}  // namespace

void EncodeOptions::validate() const {
  base::check_fields(*this);
  base::require(!data.empty(), "--data is missing; give the images to encode");
  base::require(!out.empty(), "--out is missing; give the folder of the features");
  base::require(encoders.latent_scale == 0 && encoders.latent_shift == 0,
                "--latent_{}: leave it out; moments are stored as they are, and scaled by training",
                encoders.latent_scale == 0 ? "shift" : "scale");
  base::require(!mirror || encoders.text_encoder.empty(),
                "--mirror: the captions of a mirrored image may no longer hold; not with "
                "--text_encoder");
  formats::refuse_flag_as_path(out);
}

bool run_encode(const EncodeOptions& options) {
  options.validate();
  auto* const group = start_processes(options.processes, options.threads);
  const bool is_first = !group || group->is_first();
  base::catch_stop_signals();
  const auto device = device_of_process(group, options.device);
  const Encoder encoder(options, device);
  std::unique_ptr<data::FeatureWriter> writer;
  const auto left = open_writer(options, encoder.plan(), group, writer);
  if (is_first) say_what_is_left(options, left, encoder.examples(), group ? group->size() : 1);
  Pieces own;
  for (const auto& piece : left)
    if (!group || piece.process == group->rank()) own.push_back(piece);
  bool stopped = false;
  try {
    const auto done = group ? 0 : encoder.examples() - examples_of(left);
    encode_pieces(encoder, *writer, own, options.batch_size, done, is_first);
  } catch (const base::StopRequested&) {
    stopped = true;
  }
  if (any_stopped(group, stopped)) return false;
  if (!is_first) return true;
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
    if (run_encode(*options)) return;
    if (const auto* group = base::process_group(); group && !group->is_first()) return;
    fmt::print(stderr, "stopped; the same command encodes the rest\n");
  });
}

}  // namespace uvic::app
