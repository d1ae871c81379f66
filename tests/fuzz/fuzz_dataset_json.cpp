#include "data/image_listing.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

// Three images and a dataset.json beside them, as EDM's dataset_tool lays them out.
class EdmDataset : public uvic::data::FileContainer {
 public:
  explicit EdmDataset(const std::string& json) : json_(json) {}

  std::string kind() const override { return "zip archive"; }
  std::string name() const override { return "fuzz"; }
  void list(const Take& take) const override {
    take({"00000/img00000000.png", 1, 0, {}});
    take({"00000/img00000001.png", 1, 1, {}});
    take({"00000/img00000002.png", 1, 2, {}});
    take({"dataset.json", json_.size(), 3, {}});
  }
  uint32_t checksum(const uvic::data::StoredFile&) const override { return 0; }
  bool knows_checksums() const override { return true; }
  std::string read(const uvic::data::StoredFile&) const override { return json_; }

 private:
  const std::string& json_;
};

}  // namespace

UVIC_FUZZ_TARGET(dataset_json, ".json") {
  const auto listing = uvic::data::list_images(EdmDataset(bytes));
  for (const auto label : listing.labels)
    if (label < 0 || static_cast<size_t>(label) >= listing.class_names.size())
      throw std::logic_error("a label outside the classes");
}
