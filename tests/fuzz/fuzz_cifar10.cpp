#include <fstream>

#include "data/cifar10.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/scratch.h"

namespace {

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

void read_cifar_folder(const std::filesystem::path& folder) {
  const int64_t size_px = 40;  // another than the file's, so that pictures are resized
  const uvic::data::Cifar10 set(folder, "", size_px);
  set.fingerprint();
  std::vector<uint8_t> planes(3 * size_px * size_px);
  for (int64_t i = 0; i < set.size(); ++i) {
    const auto label = set.read(i, planes.data());
    if (label < 0 || static_cast<size_t>(label) >= set.class_names().size())
      throw std::logic_error("a label outside the classes");
  }
}

}  // namespace

// The bytes as a batch; where they are no whole records, those they begin with, and the rest as
// class names.
UVIC_FUZZ_TARGET(cifar10, ".bin") {
  constexpr size_t kRecord = 3073;
  static const uvic::test::Scratch scratch;
  const auto batch = scratch / "test_batch.bin", names = scratch / "batches.meta.txt";
  std::filesystem::remove(names);
  write(batch, bytes);
  const size_t whole = bytes.size() / kRecord * kRecord;
  if (whole == 0 || whole == bytes.size()) return read_cifar_folder(scratch.path());
  try {
    read_cifar_folder(scratch.path());
    throw std::logic_error("a batch with part of a record was taken");
  } catch (const std::runtime_error&) {
  }
  write(batch, bytes.substr(0, whole));
  write(names, bytes.substr(whole));
  read_cifar_folder(scratch.path());
}
