#include "data/latents.h"

#include <fstream>
#include <map>
#include <set>

#include "data/feature_folders.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/npy_object.h"
#include "data/latent_store.h"
#include "data/latent_store_writer.h"
#include "data/loader.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::data;
using uvic::test::Scratch;
namespace fs = std::filesystem;

namespace {

const fs::path kGoldenLatents = fs::path(UVIC_GOLDEN_DIR) / "app";

struct Example {
  torch::Tensor moments, context;
  int64_t label;
};

Example read(const Dataset& set, int64_t index, uint64_t choice = 0) {
  const auto format = set.format();
  Example example{torch::empty({format.channels, format.size, format.size}), {}, 0};
  ExampleMemory to{example.moments.data_ptr()};
  if (format.context_dim > 0) {
    example.context = torch::empty({format.context_tokens, format.context_dim});
    to.context = example.context.data_ptr<float>();
  }
  example.label = set.read_example(index, choice, to);
  return example;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A copy of the MS-COCO features that a test may damage.
fs::path copied_features(const Scratch& scratch) {
  fs::copy(kGoldenLatents / "coco_features", scratch / "coco", fs::copy_options::recursive);
  return scratch / "coco";
}

std::unique_ptr<Dataset> open(const fs::path& path) {
  return open_dataset(path.string(), DatasetOptions());
}

/// A plan of 7 examples with 1 to 3 captions each, in shards of 3.
FeaturePlan captioned_plan() {
  FeaturePlan plan;
  plan.info.images = 7;
  plan.info.channels = 8, plan.info.size = 4;
  plan.info.context_tokens = 3, plan.info.context_dim = 5;
  plan.info.context_dtype = torch::kFloat16;
  plan.info.shard_images = 3;
  plan.caption_counts = {1, 3, 2, 1, 2, 2, 1};
  return plan;
}

torch::Tensor moments_of(int64_t i) {
  return torch::arange(8 * 16).view({1, 8, 4, 4}) + 1000.0 * i;
}
torch::Tensor contexts_of(const FeaturePlan& plan, int64_t i) {
  const auto count = plan.caption_counts[static_cast<size_t>(i)];
  return torch::arange(count * 15).view({count, 3, 5}) + 100.0 * i;
}

std::vector<std::string> texts_of(const FeaturePlan& plan) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < plan.caption_counts.size(); ++i)
    for (int64_t k = 0; k < plan.caption_counts[i]; ++k)
      texts.push_back("caption " + std::to_string(i) + " " + std::to_string(k));
  return texts;
}

void write_some(const fs::path& folder, const FeaturePlan& plan, int64_t end) {
  LatentStoreWriter writer(folder, plan);
  for (const auto& piece : writer.left(1)) {
    if (piece.begin >= end) break;
    writer.begin(piece);
    for (int64_t i = piece.begin; i < std::min(end, piece.end); ++i)
      writer.add(moments_of(i), contexts_of(plan, i));
  }
  if (end == plan.info.images) writer.finish(texts_of(plan), torch::ones({3, 5}));
}

std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = formats::read_file(entry.path());
  return files;
}

}  // namespace

TEST_CASE("ImageNet's official features are pairs of moments and a label", "[latents]") {
  const auto set = open(kGoldenLatents / "imagenet_features");
  CHECK(set->size() == 3);
  CHECK(set->class_count() == 1000);
  const auto format = set->format();
  CHECK(format.is_latent);
  CHECK(format.channels == 8);
  CHECK(format.size == 8);
  CHECK(format.context_tokens == 0);
  const std::vector<int64_t> labels = {3, 0, 1};
  for (int64_t i = 0; i < 3; ++i) {
    const auto example = read(*set, i);
    CHECK(example.label == labels[static_cast<size_t>(i)]);
    // make_latent_step.py writes the same means into both folders.
    const auto coco = formats::read_npy(kGoldenLatents / "coco_features" / "train" /
                                        (std::to_string(i) + ".npy"));
    CHECK(torch::equal(example.moments.slice(0, 0, 4), coco.slice(0, 0, 4)));
  }
  CHECK(has(error_of([&] { set->read(0, nullptr); }), "holds latents"));
}

TEST_CASE("MS-COCO's official features are moments, contexts and the empty context", "[latents]") {
  for (const auto& path :
       {kGoldenLatents / "coco_features", kGoldenLatents / "coco_features" / "train"}) {
    const auto set = open(path);
    CHECK(set->size() == 3);
    CHECK(set->format().context_tokens == 5);
    CHECK(set->format().context_dim == 12);
    const auto& captioned = dynamic_cast<const CaptionedFeatures&>(*set);
    CHECK(captioned.caption_count(0) == 2);
    CHECK(captioned.caption_count(1) == 1);
    CHECK(captioned.caption_count(2) == 3);
    const auto third = read(*set, 2, /*choice=*/5);
    const auto folder = kGoldenLatents / "coco_features";
    CHECK(third.label == -1);
    CHECK(torch::equal(third.moments, formats::read_npy(folder / "train" / "2.npy")));
    CHECK(torch::equal(third.context, formats::read_npy(folder / "train" / "2_2.npy")));
    CHECK(torch::equal(set->empty_context(), formats::read_npy(folder / "empty_context.npy")));
  }
  CHECK(has(error_of([&] { open((kGoldenLatents / "coco_features").string() + ":val"); }),
            "no such file"));
}

TEST_CASE("a pair is written as NumPy writes it and read back", "[latents]") {
  const Scratch scratch;
  const auto moments = torch::randn({8, 4, 4});
  const auto bytes = formats::npy_of_pair(moments, 999);
  const auto back = formats::read_npy_objects(formats::MappedFile::from_bytes(bytes, "pair"));
  REQUIRE(back.size() == 2);
  CHECK(torch::equal(back[0], moments));
  CHECK(back[1].item<int64_t>() == 999);
}

TEST_CASE("object arrays survive damage", "[latents]") {
  const auto bytes = formats::read_file(kGoldenLatents / "imagenet_features" / "0.npy");
  const auto small = formats::npy_of_pair(torch::ones({2, 1, 1}), 3);
  const auto read_it = [](const auto& file) { formats::read_npy_objects(file); };
  test::survive_damage(small, read_it);
  CHECK(test::is_taken(bytes, read_it));
  CHECK(!test::is_taken("", read_it));
}

TEST_CASE("damaged features are reported by name in one line", "[latents]") {
  SECTION("an empty file") {
    const Scratch scratch;
    const auto folder = copied_features(scratch);
    { const std::ofstream empty(folder / "train" / "1.npy"); }
    const auto set = open(folder);
    const auto error = error_of([&] { read(*set, 1); });
    CHECK(has(error, "1.npy"));
    CHECK(has(error, "empty (0 bytes)"));
  }
  SECTION("an empty first file") {
    const Scratch scratch;
    const auto folder = copied_features(scratch);
    { const std::ofstream empty(folder / "train" / "0.npy"); }
    CHECK(has(error_of([&] { open(folder); }), "0.npy: empty (0 bytes)"));
  }
  SECTION("a latent cut short") {
    const Scratch scratch;
    const auto folder = copied_features(scratch);
    fs::resize_file(folder / "train" / "2.npy", 500);
    const auto set = open(folder);
    CHECK(has(error_of([&] { read(*set, 2); }), "truncated"));
  }
  SECTION("a latent missing") {
    const Scratch scratch;
    const auto folder = copied_features(scratch);
    fs::remove(folder / "train" / "1.npy");
    CHECK(has(error_of([&] { open(folder); }), "numbers are missing"));
  }
  SECTION("a caption missing") {
    const Scratch scratch;
    const auto folder = copied_features(scratch);
    fs::remove(folder / "train" / "2_1.npy");
    CHECK(has(error_of([&] { open(folder); }), "2 contexts of latent 2, the last is 2"));
  }
  SECTION("another shape") {
    const Scratch scratch;
    const auto folder = copied_features(scratch);
    formats::write_npy(folder / "train" / "2_0.npy", torch::zeros({4, 12}));
    const auto set = open(folder);
    CHECK(has(error_of([&] { read(*set, 2, 0); }),
              "shape [4, 12], the first of this set is [5, 12]"));
  }
  SECTION("a label of another set") {
    const Scratch scratch;
    formats::write_file_atomically(scratch / "0.npy",
                                   formats::npy_of_pair(torch::ones({8, 2, 2}), 1000));
    const auto set = open(scratch.path());
    CHECK(has(error_of([&] { read(*set, 0); }), "label 1000, classes are 0 to 999"));
  }
}

TEST_CASE("a store gives back what was written, in shards and from any of them", "[latents]") {
  const Scratch scratch;
  const auto plan = captioned_plan();
  write_some(scratch / "store", plan, 7);
  const auto set = open(scratch / "store");
  CHECK(set->size() == 7);
  for (int64_t i = 0; i < 7; ++i) {
    const auto contexts = contexts_of(plan, i);
    for (int64_t k = 0; k < contexts.size(0); ++k) {
      const auto example = read(*set, i, static_cast<uint64_t>(k + 4 * contexts.size(0)));
      CHECK(torch::equal(example.moments, moments_of(i)[0].to(torch::kFloat32)));
      CHECK(torch::equal(example.context, contexts[k].to(torch::kFloat32)));  // exact in float16
      CHECK(example.label == -1);
      CHECK(set->captions(i).at(static_cast<size_t>(k)) ==
            "caption " + std::to_string(i) + " " + std::to_string(k));
    }
  }
  CHECK(torch::equal(set->empty_context(), torch::ones({3, 5})));
  CHECK(set->class_count() == 0);
  CHECK(set->fingerprint() == open(scratch / "store")->fingerprint());
  CHECK(LatentStoreWriter(scratch / "store", plan).left(1).empty());
  auto other = plan;
  other.info.size *= 2;
  CHECK(has(error_of([&] { write_some(scratch / "store", other, 7); }), "holds a finished set"));
  other = plan, other.info.made_from["tile"] = 8;
  write_some(scratch / "tiled", other, 7);
  CHECK(has(error_of([&] { write_some(scratch / "tiled", plan, 7); }), "tile\" was 8, is null"));
}

TEST_CASE("a store that was interrupted anywhere is continued to the same files", "[latents]") {
  const Scratch scratch;
  const auto plan = captioned_plan();
  write_some(scratch / "whole", plan, 7);
  const auto whole = files_of(scratch / "whole");
  for (int64_t stop = 0; stop < 7; ++stop)
    for (const int64_t torn : {0, 1, 60, 513}) {  // bytes that never reached the disk
      const auto folder = scratch / ("store" + std::to_string(stop) + "-" + std::to_string(torn));
      write_some(folder, plan, stop);
      CHECK(has(error_of([&] { open(folder); }), "not complete yet"));
      for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".part" && torn > 0)
          fs::resize_file(entry.path(),
                          std::max<int64_t>(0, static_cast<int64_t>(entry.file_size()) - torn));
      write_some(folder, plan, 7);
      CHECK(files_of(folder) == whole);
    }
  auto other = plan;
  other.info.shard_images = 4;
  write_some(scratch / "begun", plan, 2);
  CHECK(has(error_of([&] { write_some(scratch / "begun", other, 7); }),
            "\"shard_images\" was 3, is 4"));
}

TEST_CASE("a store that is cut short or of other shapes is refused when it is opened",
          "[latents]") {
  const Scratch scratch;
  const auto plan = captioned_plan();
  write_some(scratch / "store", plan, 7);
  const auto refusal = [&](const std::string& file, const std::function<void(fs::path)>& damage) {
    const auto folder = scratch / "damaged";
    fs::remove_all(folder);
    fs::copy(scratch / "store", folder);
    damage(folder / file);
    return error_of([&] { open(folder); });
  };
  const auto cut = [](const fs::path& path) { fs::resize_file(path, fs::file_size(path) - 1); };
  CHECK(has(refusal("moments-00001.npy", cut),
            "moments-00001.npy: not a valid .npy array: truncated"));
  CHECK(has(refusal("contexts-00002.npy", cut), "contexts-00002.npy"));
  CHECK(has(refusal("labels.npy", cut), "labels.npy"));
  CHECK(has(refusal("moments-00000.npy", [](const fs::path& path) { fs::remove(path); }),
            "moments-00000.npy"));
  CHECK(has(refusal("moments-00000.npy", [](const fs::path& path) { std::ofstream{path}; }),
            "empty (0 bytes)"));
  CHECK(has(refusal("moments-00000.npy",
                    [](const fs::path& path) {
                      formats::write_npy(path, torch::zeros({3, 8, 4, 5}));
                    }),
            "holds [3, 8, 4, 5] of Float, index.json says [3, 8, 4, 4] of Float"));
  CHECK(has(refusal("caption_begins.npy",
                    [](const fs::path& path) {
                      formats::write_npy(path, torch::zeros({8}, torch::kInt64));
                    }),
            "do not rise"));
  const auto halved = [](const fs::path& path) { fs::resize_file(path, fs::file_size(path) / 2); };
  const auto emptied = [](const fs::path& path) { std::ofstream{path}; };
  CHECK(has(refusal("index.json", halved), "index.json: damaged: not the record of the latents"));
  CHECK(has(refusal("index.json", emptied), "index.json: damaged: not the record of the latents"));
}

TEST_CASE("a store of labels: any that is no class is refused, without labels none is given",
          "[latents]") {
  const Scratch scratch;
  FeaturePlan plan;
  plan.info.images = 3;
  plan.info.channels = 8, plan.info.size = 4;
  plan.labels = {2, -1, 0};
  {
    LatentStoreWriter writer(scratch / "store", plan);
    for (const auto& piece : writer.left(1)) {
      writer.begin(piece);
      for (int64_t i = piece.begin; i < piece.end; ++i) writer.add(moments_of(i), {});
    }
    writer.finish({}, {});
  }
  const auto write_labels = [&](std::vector<int64_t> labels) {
    formats::write_npy(scratch / "store" / "labels.npy", torch::tensor(labels));
  };
  const auto set = open(scratch / "store");
  CHECK(set->class_count() == 3);
  CHECK(read(*set, 0).label == 2);
  CHECK(read(*set, 1).label == -1);
  for (const int64_t label : {INT64_MAX, int64_t{1} << 20, int64_t{-2}, INT64_MIN}) {
    write_labels({2, label, 0});
    CHECK(has(error_of([&] { open(scratch / "store"); }), "labels.npy: classes "));
  }
  write_labels({7, 7, 7});
  const auto index = scratch / "store" / "index.json";
  auto info = formats::read_json(index);
  info["labelled"] = false;
  formats::write_json(index, info);
  const auto unlabelled = open(scratch / "store");
  CHECK(unlabelled->class_count() == 0);
  CHECK(read(*unlabelled, 0).label == -1);
}

TEST_CASE("a store in Fortran's order is the same store", "[latents]") {
  const Scratch scratch;
  auto plan = captioned_plan();
  write_some(scratch / "store", plan, 7);
  const auto before = open(scratch / "store");
  const auto print = before->fingerprint();
  const auto third = read(*before, 6).moments;
  // Elements of one example are then far from each other, the last of them at the end of the file.
  const auto path = scratch / "store" / "moments-00002.npy";
  const auto values = formats::read_npy(path).clone();
  auto header = formats::npy_header(torch::kFloat32, values.sizes());
  const std::string order = "'fortran_order': False";
  header.replace(header.find(order), order.size(), "'fortran_order': True ");
  const auto turned = values.permute({3, 2, 1, 0}).contiguous();
  std::ofstream(path, std::ios::binary)
      << header << std::string(static_cast<const char*>(turned.data_ptr()), turned.nbytes());
  const auto after = open(scratch / "store");
  CHECK(torch::equal(read(*after, 6).moments, third));
  CHECK(after->fingerprint() == print);
}

TEST_CASE("batches of latents depend on seed and position, not on the workers", "[latents]") {
  const auto set = open(kGoldenLatents / "coco_features");
  LoaderOptions options;
  options.batch_size = 8;
  options.seed = 5;
  options.workers = 0;
  Loader alone(*set, options);
  options.workers = 3;
  Loader together(*set, options);
  std::set<float> seen;
  for (int i = 0; i < 4; ++i) {
    const auto a = alone.next(), b = together.next();
    CHECK(a.images.scalar_type() == torch::kFloat32);
    CHECK(torch::equal(a.images, b.images));
    CHECK(torch::equal(a.contexts, b.contexts));
    for (int64_t j = 0; j < 8; ++j) seen.insert(a.contexts[j][0][0].item<float>());
  }
  CHECK(seen.size() == 6);  // every caption of every image comes up, and nothing is flipped
  Loader later(*set, options, /*images_seen=*/3);
  options.batch_size = 32;
  options.workers = 0;
  const auto first = Loader(*set, options).next();
  CHECK(torch::equal(later.next().contexts, first.contexts.slice(0, 3, 11)));
}
