// Files of PyTorch and NumPy read equal here, and ours there, where Python has them installed.
#include <cstdlib>
#include <string>

#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "data/formats/torch_pickle.h"
#include "data/formats/zip_writer.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::formats;

namespace {

bool runs(const std::string& command) {
  return std::system(("OMP_NUM_THREADS=1 " + command).c_str()) ==
         0;  // NOLINT: our own words and a scratch folder
}

/// A Python that has PyTorch and NumPy, or nothing.
std::string find_python() {
  for (const std::string python : {"python3", "/usr/bin/python3"}) {
    if (runs(python + " -c 'import torch, numpy' 2>/dev/null")) return python;
  }
  return "";
}

}  // namespace

TEST_CASE("interop: PyTorch's files read equal, and PyTorch and NumPy read ours equal",
          "[interop]") {
  const std::string python = find_python();
  if (python.empty()) UVIC_SKIP("no python3 has torch and numpy");
  const uvic::test::Scratch scratch;
  const std::string script = python + " '" UVIC_GOLDEN_DIR "/../data/formats/interop.py' ";
  const std::string folder = " '" + scratch.path().string() + "'";
  REQUIRE(runs(script + "make" + folder));

  const auto expected = read_npz(scratch / "expected.npz");
  REQUIRE(expected.size() > 200);
  for (const char* name : {"state.zip.pth", "state.legacy.pth"}) {
    const auto tensors = read_pth(scratch / name);
    CHECK(tensors.size() == expected.size());
    for (const auto& [key, array] : expected) {
      INFO(name << ": " << key);
      REQUIRE(tensors.count(key));
      CHECK(torch::equal(tensors.at(key).to(array.dtype()), array));
    }
  }

  const auto tensors = read_pth(scratch / "state.legacy.pth");
  write_pth(scratch / "ours.pth", tensors);
  write_safetensors(scratch / "ours.safetensors", {tensors, {{"step", "3"}}});
  write_npz(scratch / "ours.npz", expected);
  write_npy(scratch / "ours.npy", tensors.at("uvit.pos_embed"));
  ZipWriter archive(scratch / "ours.zip");
  archive.add("folder/\xc3\xa9.txt", "content");
  archive.commit();
  CHECK(runs(script + "check" + folder));
}
