#include "data/formats/npy.h"

#include <stdexcept>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/little_endian.h"
#include "data/formats/npy_integers.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

const std::string kGoldenNpy = UVIC_GOLDEN_DIR "/formats/";

std::shared_ptr<const MappedFile> npy_file(const std::string& header, const std::string& data) {
  std::string bytes("\x93NUMPY\1\0", 8);
  append_little_endian<uint16_t>(bytes, static_cast<uint16_t>(header.size()));
  return MappedFile::from_bytes(bytes + header + data, "the-file");
}

torch::Tensor parse_npy(const std::string& header, const std::string& data) {
  return read_npy(npy_file(header, data));
}

}  // namespace

TEST_CASE("npz: NumPy's arrays, stored and deflated, read equal", "[npy]") {
  // See make_npz.py: a_DTYPE = arange(6).reshape(2, 3), f_DTYPE the same in Fortran order,
  // big_DTYPE big-endian.
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    INFO(name);
    const auto arrays = read_npz(kGoldenNpy + name);
    const auto expected = torch::arange(6, torch::kFloat64).view({2, 3});
    for (const auto& [dtype, type] : {std::pair("uint8", torch::kUInt8),
                                      {"int8", torch::kInt8},
                                      {"int16", torch::kInt16},
                                      {"int32", torch::kInt32},
                                      {"int64", torch::kInt64},
                                      {"float16", torch::kFloat16},
                                      {"float32", torch::kFloat32},
                                      {"float64", torch::kFloat64}}) {
      for (const char* prefix : {"a_", "f_", "big_"}) {
        INFO(prefix << dtype);
        const auto& array = arrays.at(std::string(prefix) + dtype);
        CHECK(array.scalar_type() == type);
        CHECK(torch::equal(array.to(torch::kFloat64), expected));
      }
    }
    CHECK(torch::equal(arrays.at("a_bool"),
                       torch::tensor({{false, true, true}, {true, true, true}})));
    CHECK(arrays.at("scalar").dim() == 0);
    CHECK(arrays.at("scalar").item<double>() == 2.5);
    CHECK(arrays.at("empty").sizes() == at::IntArrayRef({0, 3}));
    CHECK(torch::equal(torch::view_as_real(arrays.at("a_complex64")).select(-1, 1),
                       expected.to(torch::kFloat32)));
  }
}

TEST_CASE("npz: arrays are listed and read one by one", "[npy]") {
  const NpzFile file(kGoldenNpy + "stored.npz");
  CHECK(file.has("a_uint8"));
  CHECK_FALSE(file.has("a_uint8.npy"));
  const auto info = file.info("f_float32");
  CHECK(info.is_fortran);
  CHECK(info.shape == std::vector<int64_t>{2, 3});
  CHECK(info.dtype == torch::kFloat32);
  CHECK_THROWS_WITH(file.read("mu"), Contains("no array 'mu'; it holds a_bool, a_complex64"));
}

TEST_CASE("npz: every dtype reads back as written", "[npy]") {
  const uvic::test::Scratch scratch;
  std::map<std::string, torch::Tensor> arrays = {
      {"mu", torch::randn({16}, torch::kFloat64)},
      {"sigma", torch::randn({16, 16}, torch::kFloat64).t()},
      {"half", torch::randn({3}).to(torch::kFloat16)},
      {"count", torch::tensor(50000)},
      {"none", torch::empty({0})},
      {"mask", torch::tensor({true, false})}};
  write_npz(scratch / "a.npz", arrays);
  const auto back = read_npz(scratch / "a.npz");
  REQUIRE(back.size() == arrays.size());
  for (const auto& [name, array] : arrays) {
    INFO(name);
    CHECK(back.at(name).dtype() == array.dtype());
    CHECK(torch::equal(back.at(name), array));
  }
}

TEST_CASE("npy: arrays read back as written, without the file being read whole", "[npy]") {
  const uvic::test::Scratch scratch;
  for (const auto& array :
       {torch::arange(24).view({2, 3, 4}), torch::tensor(1.5), torch::ones({5}, torch::kUInt8)}) {
    write_npy(scratch / "a.npy", array);
    CHECK(torch::equal(read_npy(scratch / "a.npy"), array));
    CHECK(read_npy_info(scratch / "a.npy").shape == array.sizes().vec());
  }
  CHECK_THROWS_WITH(write_npy(scratch / "b.npy", torch::ones({1}, torch::kBFloat16)),
                    Contains("NumPy has no BFloat16; convert to float32 first"));
  CHECK_FALSE(std::filesystem::exists(scratch / "b.npy"));
}

TEST_CASE("npy: what can't be read is told by name", "[npy]") {
  const std::string data(64, '\0');
  CHECK_THROWS_WITH(parse_npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", data),
                    Contains("the-file: not a valid .npy array: it is a pickled Python object"));
  CHECK_THROWS_WITH(parse_npy("{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }", data),
                    Contains("'<U5'"));
  CHECK_THROWS_WITH(
      parse_npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", data),
      Contains("array of records"));
  CHECK_THROWS_WITH(parse_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }", data),
                    Contains("truncated: shape [9] of Double needs more than the 64 bytes"));
  CHECK_THROWS_WITH(
      parse_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
                data),
      Contains("truncated"));
  CHECK_THROWS_WITH(parse_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", data),
                    Contains("its shape holds no size"));
  CHECK_THROWS_WITH(parse_npy("{'descr': '<f8', 'fortran_order': maybe, 'shape': (1,), }", data),
                    Contains("neither True nor False"));
  CHECK_THROWS_WITH(parse_npy("{'descr': '<f8', 'shape': (1,), }", data), Contains("lacks"));
  CHECK_THROWS_WITH(read_npy(MappedFile::from_bytes("text", "the-file")),
                    Contains("does not begin as one"));
  CHECK(parse_npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4294967296), }", "")
            .numel() == 0);
}

TEST_CASE("npy: integers of types that LibTorch lacks, in both orders", "[npy]") {
  const auto read = [](const std::string& type, const std::string& order, const std::string& data) {
    return read_npy_integers(npy_file(
        "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': (2, 2), }", data));
  };
  const std::string small("\1\0\2\0\xff\xff\4\0", 8);
  const auto expected = torch::tensor({1, 2, 65535, 4}, torch::kInt64).view({2, 2});
  CHECK(torch::equal(read("<u2", "False", small).wide(), expected));
  CHECK(torch::equal(read("<u2", "True", small).wide(), expected.t()));
  CHECK(read("<u2", "False", small).is_unsigned);
  CHECK(torch::equal(read("<i2", "False", small).wide(), torch::tensor({{1, 2}, {-1, 4}})));
  const std::string large("\0\0\0\1\xff\xff\xff\xff\0\0\1\0\0\0\0\2", 16);
  CHECK(torch::equal(
      read(">u4", "False", large).wide(),
      torch::tensor(std::vector<int64_t>{1, 4294967295, 256, 2}, torch::kInt64).view({2, 2})));
  CHECK(read("<u8", "False", std::string(32, '\1')).wide()[1][1].item<int64_t>() ==
        0x0101010101010101);
  CHECK_THROWS_WITH(read("<u2", "False", small.substr(1)), Contains("truncated"));
  CHECK_THROWS_WITH(parse_npy("{'descr': '<u2', 'fortran_order': False, 'shape': (1,), }", small),
                    Contains("its dtype uint16 is not supported here") && Contains("int64"));
}

TEST_CASE("npz: a changed byte of a stored array fails its CRC", "[npy]") {
  const uvic::test::Scratch scratch;
  write_npz(scratch / "a.npz", {{"mu", torch::ones({64}, torch::kFloat64)}});
  auto bytes = read_file(scratch / "a.npz");
  const auto at = bytes.find(std::string("\x3f\0\0", 3), 200);  // inside a 1.0
  REQUIRE(at != std::string::npos);
  bytes[at] ^= 1;
  const NpzFile file(MappedFile::from_bytes(bytes, "the-file"));
  CHECK_NOTHROW(file.info("mu"));
  CHECK_THROWS_WITH(file.read("mu"), Contains("the-file: mu.npy: damaged: its CRC"));
}

TEST_CASE("npz: a zip of other things is told by its entry", "[npy]") {
  CHECK_THROWS_WITH(NpzFile(kGoldenNpy + "stored.zip"),
                    Contains("not an .npz: its entry 'folder/text.txt' is not a .npy"));
}

TEST_CASE("npy: a file cut anywhere is refused, and damage never crashes", "[npy]") {
  const uvic::test::Scratch scratch;
  write_npy(scratch / "a.npy", torch::ones({2, 3}));
  const auto read = [](const std::shared_ptr<const MappedFile>& file) { read_npy(file); };
  CHECK(uvic::test::survive_damage(read_file(scratch / "a.npy"), read) == 0);
  write_npz(scratch / "a.npz", {{"x", torch::ones({2})}, {"y", torch::ones({1}, torch::kUInt8)}});
  const auto read_archive = [](const std::shared_ptr<const MappedFile>& file) { read_npz(file); };
  CHECK(uvic::test::survive_damage(read_file(scratch / "a.npz"), read_archive) == 0);
  CHECK(uvic::test::survive_damage(read_file(kGoldenNpy + "small_deflated.npz"), read_archive) ==
        0);
}
