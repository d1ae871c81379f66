#include "data/formats/safetensors.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/little_endian.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes;
  append_little_endian<uint64_t>(bytes, header.size());
  return bytes + header + data;
}

TensorFile parse_tensors(const std::string& header, const std::string& data) {
  return read_safetensors(MappedFile::from_bytes(file_of(header, data), "the-file"));
}

int64_t resident_bytes() {
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

TEST_CASE("safetensors: every dtype and shape reads back as written", "[safetensors]") {
  const uvic::test::Scratch scratch;
  TensorFile file;
  file.metadata = {{"format", "pt"}, {"step", "12"}};
  for (const auto dtype : {torch::kFloat64,
                           torch::kFloat32,
                           torch::kFloat16,
                           torch::kBFloat16,
                           torch::kInt64,
                           torch::kInt32,
                           torch::kInt16,
                           torch::kInt8,
                           torch::kUInt8,
                           torch::kBool,
                           torch::kComplexFloat}) {
    const auto values = torch::tensor({0., 1., 2., 3., 100., 7.}).view({2, 3}).to(dtype);
    file.tensors[std::string("t.") + c10::toString(dtype)] = values;
  }
  file.tensors["scalar"] = torch::tensor(2.5);
  file.tensors["empty"] = torch::empty({0, 3});
  file.tensors["transposed"] = torch::arange(6).view({2, 3}).t();
  file.tensors["needs_grad"] = torch::ones({2}, torch::requires_grad());
  write_safetensors(scratch / "a.safetensors", file);

  const TensorFile back = read_safetensors(scratch / "a.safetensors");
  CHECK(back.metadata == file.metadata);
  REQUIRE(back.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    INFO(name);
    CHECK(back.tensors.at(name).dtype() == tensor.dtype());
    CHECK(torch::equal(back.tensors.at(name), tensor));
  }
}

TEST_CASE("safetensors: tensors outlive the result, and writing to them leaves the file alone",
          "[safetensors]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "a.safetensors";
  write_safetensors(path, {{{"x", torch::ones({1000})}}, {}});
  auto tensor = read_safetensors(path).tensors.at("x");
  tensor.fill_(7);
  CHECK(tensor.sum().item<float>() == 7000);
  CHECK(read_safetensors(path).tensors.at("x").sum().item<float>() == 1000);
}

TEST_CASE("safetensors: a file may be rewritten while its tensors are in use", "[safetensors]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "a.safetensors";
  write_safetensors(path, {{{"x", torch::ones({4})}}, {}});
  const auto old = read_safetensors(path);
  write_safetensors(path, {{{"x", old.tensors.at("x") + 1}}, {}});
  CHECK(old.tensors.at("x").sum().item<float>() == 4);
  CHECK(read_safetensors(path).tensors.at("x").sum().item<float>() == 8);
}

TEST_CASE("safetensors: tensors at odd bytes are read right", "[safetensors]") {
  std::string data(1, '\5');
  append_little_endian(data, 1.5f);
  const auto file = parse_tensors(
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[],"data_offsets":[1,5]}})",
      data);
  CHECK(file.tensors.at("f").item<float>() == 1.5f);
  CHECK(file.tensors.at("b").item<int>() == 5);
}

TEST_CASE("safetensors: bytes of a bool above 1 are true", "[safetensors]") {
  const auto file = parse_tensors(R"({"b":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})",
                                  std::string("\0\1\2", 3));
  CHECK(torch::equal(file.tensors.at("b"), torch::tensor({false, true, true})));
}

TEST_CASE("safetensors: faults are reported by name", "[safetensors]") {
  const std::string four(4, '\0');
  CHECK_THROWS_WITH(parse_tensors("[]", ""), Contains("its header is not a JSON object"));
  CHECK_THROWS_WITH(parse_tensors("{", ""), Contains("not valid JSON"));
  CHECK_THROWS_WITH(
      parse_tensors(R"({"x":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}})", four),
      Contains("x has dtype F8_E4M3; known are F64"));
  CHECK_THROWS_WITH(
      parse_tensors(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", four),
      Contains("x is at bytes 0 to 8 of 4; truncated?"));
  CHECK_THROWS_WITH(
      parse_tensors(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", four),
      Contains("x is \"F32\" [2] but has 4 bytes"));
  CHECK_THROWS_WITH(
      parse_tensors(R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", four),
      Contains("x: -1 is not a size"));
  CHECK_THROWS_WITH(
      parse_tensors(R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})",
                    four),
      Contains("but has 4 bytes"));
  CHECK_THROWS_WITH(parse_tensors(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                              "y":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})",
                                  four),
                    Contains("y begins at byte 1, the tensor before it ends at 2"));
  CHECK_THROWS_WITH(parse_tensors(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", four),
                    Contains("the tensors end at byte 2 of 4"));
  CHECK_THROWS_WITH(parse_tensors(R"({"x":{"shape":[2],"data_offsets":[0,2]}})", four),
                    Contains("x lacks a dtype"));
  CHECK_THROWS_WITH(parse_tensors(R"({"__metadata__":{"a":1}})", ""),
                    Contains("__metadata__.a is not a string"));
  CHECK_THROWS_WITH(read_safetensors(MappedFile::from_bytes("abc", "the-file")),
                    Contains("3 bytes"));
  std::string cut = file_of("{}", "");
  cut[0] = 100;
  CHECK_THROWS_WITH(read_safetensors(MappedFile::from_bytes(cut, "the-file")),
                    Contains("header of 100 bytes ends beyond the file's"));
}

TEST_CASE("safetensors: what the format can't hold is refused before the file is touched",
          "[safetensors]") {
  const uvic::test::Scratch scratch;
  CHECK_THROWS_WITH(
      write_safetensors(scratch / "a", {{{"z", torch::zeros({1}, torch::kComplexDouble)}}, {}}),
      Contains("z is ComplexDouble"));
  CHECK_THROWS_AS(write_safetensors(scratch / "a", {{{"\xff", torch::zeros({1})}}, {}}),
                  std::invalid_argument);
  CHECK_THROWS_AS(write_safetensors(scratch / "a", {{{"__metadata__", torch::zeros({1})}}, {}}),
                  std::invalid_argument);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("safetensors: a file cut anywhere is refused, and damage never crashes",
          "[safetensors]") {
  const uvic::test::Scratch scratch;
  write_safetensors(
      scratch / "a",
      {{{"x", torch::ones({2, 2})}, {"y", torch::ones({3}, torch::kBool)}}, {{"step", "1"}}});
  const auto read = [](const std::shared_ptr<const MappedFile>& file) { read_safetensors(file); };
  CHECK(uvic::test::survive_damage(read_file(scratch / "a"), read) == 0);
}

TEST_CASE("safetensors: every changed byte of a file of ours is noticed", "[safetensors]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "a";
  write_safetensors(path,
                    {{{"x", torch::arange(12).view({3, 4})}, {"y", torch::ones({3}, torch::kHalf)}},
                     {{"uvic.step", "17"}, {"note", "text"}}});
  const auto whole = read_file(path);
  CHECK(whole.find("\"uvic.checksum\":\"xxh64:") != std::string::npos);
  const auto length = load_little_endian<uint64_t>(whole.data());
  size_t unnoticed = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    auto broken = whole;
    broken[i] = static_cast<char>(broken[i] ^ 1);
    try {
      const auto file = read_safetensors(MappedFile::from_bytes(broken, "the-file"));
      ++unnoticed;
      // The name of the checksum itself, its kind, and blanks after the header: no content.
      INFO(i);
      CHECK(i < 8 + length);
      CHECK(torch::equal(file.tensors.at("x"), torch::arange(12).view({3, 4})));
      CHECK(file.metadata.at("uvic.step") == "17");
    } catch (const std::runtime_error&) {
    }
  }
  CHECK(unnoticed < 40);
  auto damaged = whole;
  damaged.back() = static_cast<char>(damaged.back() ^ 64);
  CHECK_THROWS_WITH(read_safetensors(MappedFile::from_bytes(damaged, "the-file")),
                    Contains("the-file: damaged: its checksum is xxh64:"));
  CHECK_NOTHROW(
      read_safetensors(MappedFile::from_bytes(damaged, "the-file"), Checksum::kUnchecked));
}

TEST_CASE("safetensors: the checksum is made anew by each writer and no metadata of the user",
          "[safetensors]") {
  const uvic::test::Scratch scratch;
  write_safetensors(scratch / "a", {{{"x", torch::ones({2})}}, {{"uvic.checksum", "xxh64:0"}}});
  auto file = read_safetensors(scratch / "a");
  CHECK(file.metadata.empty());
  file.tensors["x"] = torch::zeros({2});
  write_safetensors(scratch / "b", file);
  CHECK(read_safetensors(scratch / "b").tensors.at("x").sum().item<float>() == 0);
}

TEST_CASE("safetensors: forty thousand tensors open in seconds", "[safetensors]") {
  std::string header = "{";
  for (int i = 0; i < 40'000; ++i)
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          i ? "," : "",
                          i,
                          i,
                          i + 1);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(parse_tensors(header + "}", std::string(40'000, '\0')).tensors.size() == 40'000);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("safetensors: sizes whose product is beyond 64 bits are refused", "[safetensors]") {
  for (const auto* shape : {"[9223372036854775807,9223372036854775807]",
                            "[9223372036854775807,2]",
                            "[4611686018427387904,4]"})
    CHECK_THROWS_AS(
        parse_tensors(
            fmt::format(R"({{"x":{{"dtype":"U8","shape":{},"data_offsets":[0,0]}}}})", shape), ""),
        std::runtime_error);
}

TEST_CASE("safetensors: five gigabytes open in under 10 MB, and touching one tensor loads it alone",
          "[safetensors]") {
  const uvic::test::Scratch scratch;
  const auto path = scratch / "big.safetensors";
  constexpr int64_t kTensors = 5, kElements = int64_t{1} << 28;  // 1 GiB of F32 each
  std::string header = "{";
  for (int64_t i = 0; i < kTensors; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"F32","shape":[{},1024],"data_offsets":[{},{}]}})",
                          i ? "," : "",
                          i,
                          kElements / 1024,
                          4 * i * kElements,
                          4 * (i + 1) * kElements);
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string begin = file_of(header, "");
  write_file_atomically(path, begin);
  std::error_code error;
  std::filesystem::resize_file(path, begin.size() + 4 * kTensors * kElements, error);
  if (error) UVIC_SKIP("the file system holds no sparse file of 5 GiB");

  const int64_t before = resident_bytes();
  const auto file = read_safetensors(path);
  REQUIRE(file.tensors.size() == kTensors);
  CHECK(resident_bytes() - before < 10 << 20);
  CHECK(file.tensors.at("t4")[kElements / 1024 - 1].sum().item<float>() == 0);
  CHECK(resident_bytes() - before < 20 << 20);
}
