// A labelled set of images of one size, whatever holds it: folder, zip, CIFAR-10's binary files,
// a formula.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/field.h"
#include "base/table.h"
#include "base/tensor_fwd.h"
#include "data/examples.h"
#include "data/formats/image_file.h"

namespace uvic::data {

/// Where images come from and how they are brought to size.
struct DatasetOptions {
  int64_t image_size = 32;
  std::string exif = "ignore";
  bool skip_bad = false;
  int64_t memory_limit_mib = 4096;
  int64_t procedural_images = 50000;
  int64_t procedural_seed = 0;

  /// Throws std::invalid_argument naming the option that is out of range.
  void validate() const;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("image_size",
          image_size,
          Field{"Side of the square images, px (0: what the command needs); others are "
                "centre-cropped and resized (antialiased)",
                base::from(0, 16384)}
              .advanced());
    visit("exif",
          exif,
          Field{"Orientation in EXIF data of a photograph",
                {{"ignore", "pixels as they are stored, as PyTorch's and FID's tools read them"},
                 {"apply", "turned upright, as viewers show them"}}}
              .advanced());
    visit(
        "skip_bad",
        skip_bad,
        Field{"Count files that can't be decoded and continue, instead of stopping at the first"});
    visit("memory_limit_mib",
          memory_limit_mib,
          Field{"Sets that fit decoded into this much memory are held there; larger ones are "
                "streamed",
                base::from(0, 1099511627776.0)}
              .advanced());
    visit("procedural_images",
          procedural_images,
          Field{"Length of the embedded procedural set", base::from(1, 1e12)}.advanced());
    visit("procedural_seed",
          procedural_seed,
          Field{"Seed of the embedded procedural set; another seed is a disjoint set",
                base::from(0, base::kMostCount)}
              .advanced());
  }
};

/// The shapes of one example, as Dataset::read_example() fills them.
struct ExampleFormat {
  bool is_latent = false;      ///< moments of a latent, float32; else an image, uint8
  int64_t channels = 3;        ///< of images 3, of moments 2 z: the means, then the log variances
  int64_t size = 32;           ///< height = width
  int64_t context_tokens = 0;  ///< 0: no context
  int64_t context_dim = 0;     ///< 0, with context_tokens: tokens of captions still to be encoded
};

/// Where an example is written to. Null: not wanted, or not there.
struct ExampleMemory {
  void* image = nullptr;      ///< [channels, size, size]
  float* context = nullptr;   ///< [context_tokens, context_dim]
  int64_t* tokens = nullptr;  ///< [context_tokens], where context_dim is 0
};

class Dataset : public Examples {
 public:
  virtual int64_t size() const = 0;
  virtual int64_t image_size() const = 0;  ///< px, height = width

  /// Writes image `index` as uint8 RGB planes [3, size, size] to `planes`; returns its class, or
  /// -1. Safe to call from several threads. Throws std::runtime_error that names a file it can't
  /// decode.
  virtual int64_t read(int64_t index, uint8_t* planes) const = 0;

  /// Image `index` at its own size, uint8 [3, height, width]; of a source that makes images of
  /// image_size(), at that size. Safe to call from several threads; throws as read does.
  virtual torch::Tensor read_whole(int64_t index) const;
  /// The size that read_whole would give, without decoding. Throws as read does.
  virtual formats::ImageSize own_size(int64_t index) const;

  /// The class that read() returns, without the pixels where the source knows it.
  virtual int64_t label(int64_t index) const;

  virtual ExampleFormat format() const { return {false, 3, image_size(), 0, 0}; }
  /// Writes example `index` in the shapes of format(); returns its class, or -1. Of several
  /// captions the one of number `choice` modulo their number. Safe to call from several threads;
  /// throws as read does.
  virtual int64_t read_example(int64_t index, uint64_t choice, const ExampleMemory& to) const;
  /// The context that says nothing, for label_dropout: float32 [context_tokens, context_dim].
  /// Undefined: the set has none.
  virtual torch::Tensor empty_context() const;
  /// Classes of the labels that read() returns; 0: unlabelled.
  virtual int64_t class_count() const { return static_cast<int64_t>(class_names().size()); }
  /// Captions of image `index`; empty: the set has none, or their texts were not kept.
  virtual std::vector<std::string> captions(int64_t index) const;
};

/// A kind of source: recognised by its name or content, opened as a Dataset.
struct DataSource {
  const char* name;
  const char* help;
  const char* give;  ///< what to give as --data, in a few words, for lists of all sources
  bool labelled;     ///< may carry labels
  /// Null where `source` is not of this kind. Throws where it is, and can't be opened.
  std::unique_ptr<Dataset> (*open)(const std::string& source, const DatasetOptions& options);
  bool is_latent = false;  ///< holds latents, or what a network of latents is conditioned on
};
base::Table<DataSource>& data_sources();

/// "procedural, CIFAR-10's binary folder, a folder of images": what to give for images, or for
/// latents.
std::string data_source_list(bool latents = false);

/// Opens by content, the first row of data_sources() that recognises it: the word "procedural"
/// ("procedural:7" for seed 7), a folder of images (a subfolder per class, or flat), a zip of
/// images, a folder with CIFAR-10's binary files
/// ("PATH:test" for its test part; without it the training part, or the test part where that is all
/// there is). Throws std::runtime_error naming what was looked for and not found,
/// std::invalid_argument for bad options.
std::unique_ptr<Dataset> open_dataset(const std::string& source, const DatasetOptions& options);

}  // namespace uvic::data

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::data::DatasetOptions&);
