#include "data/formats/torch_pickle.h"

#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/little_endian.h"
#include "data/formats/npy.h"
#include "data/formats/zip_writer.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;
using Catch::Contains;
using namespace std::string_literals;

namespace {

// Made by torch.save of Debian's PyTorch; see make_pth.py.
const std::string kGoldenTorch = UVIC_GOLDEN_DIR "/formats/";
const char* const kForms[] = {".zip.pth", ".legacy.pth"};

void read_bytes(const std::shared_ptr<const MappedFile>& file) { read_pth_file(file); }

/// A zip-form file around a pickle of the test's making.
PthFile read_pickle(const std::string& pickle, const std::string& storage = "") {
  const uvic::test::Scratch scratch;
  ZipWriter archive(scratch / "a.pth");
  archive.add("archive/data.pkl", pickle);
  archive.add("archive/data/0", storage, 64);
  archive.commit();
  return read_pth_file(MappedFile::from_bytes(read_file(scratch / "a.pth"), "the-file"));
}

std::string text(const std::string& s) {
  return std::string("\x8c") + static_cast<char>(s.size()) + s;
}

/// The arguments of _rebuild_tensor_v2 over storage 0 of `numel` floats: offset, sizes and strides
/// as opcodes.
std::string tensor_arguments(int numel,
                             const std::string& offset,
                             const std::string& sizes,
                             const std::string& strides) {
  return "((" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K" +
         static_cast<char>(numel) + "tQ" + offset + sizes + strides +
         "\x89"
         "ccollections\nOrderedDict\n)Rt";
}

const std::string kRebuild = "ctorch._utils\n_rebuild_tensor_v2\n";

std::string tensor_pickle(int numel,
                          const std::string& offset,
                          const std::string& sizes,
                          const std::string& strides) {
  return "\x80\x02" + kRebuild + tensor_arguments(numel, offset, sizes, strides) + "R.";
}

}  // namespace

TEST_CASE("pth: tensors of every dtype, in both forms", "[torch_pickle]") {
  for (const char* form : kForms) {
    INFO(form);
    const auto tensors = read_pth(kGoldenTorch + "dtypes" + form);
    CHECK(tensors.size() == 12);
    for (const auto& [name, dtype] : {std::pair("float64", torch::kFloat64),
                                      {"float32", torch::kFloat32},
                                      {"float16", torch::kFloat16},
                                      {"bfloat16", torch::kBFloat16},
                                      {"int64", torch::kInt64},
                                      {"int32", torch::kInt32},
                                      {"int16", torch::kInt16},
                                      {"int8", torch::kInt8},
                                      {"uint8", torch::kUInt8},
                                      {"bool", torch::kBool},
                                      {"complex64", torch::kComplexFloat},
                                      {"complex128", torch::kComplexDouble}}) {
      INFO(name);
      const auto& tensor = tensors.at(name);
      CHECK(tensor.scalar_type() == dtype);
      CHECK(torch::equal(tensor, torch::arange(6).view({2, 3}).to(dtype)));
    }
  }
}

TEST_CASE("pth: views keep their strides and share one storage", "[torch_pickle]") {
  for (const char* form : kForms) {
    INFO(form);
    const auto tensors = read_pth(kGoldenTorch + "views" + form);
    const auto base = torch::arange(12, torch::kFloat32);
    CHECK(torch::equal(tensors.at("base"), base));
    CHECK(torch::equal(tensors.at("row"), base.view({3, 4})[1]));
    CHECK(torch::equal(tensors.at("transposed"), base.view({3, 4}).t()));
    CHECK(tensors.at("transposed").strides() == at::IntArrayRef({1, 4}));
    CHECK(torch::equal(tensors.at("every_other"), base.slice(0, 0, 12, 2)));
    CHECK(torch::equal(tensors.at("expanded"), torch::full({4}, 5.f)));
    CHECK(tensors.at("scalar").item<float>() == 3);
    CHECK(tensors.at("empty").numel() == 0);
    auto written = tensors.at("base");
    written[4] = 99;
    CHECK(tensors.at("row")[0].item<float>() == 99);
    CHECK(tensors.at("same")[4].item<float>() == 99);
  }
}

TEST_CASE("pth: a state_dict with _metadata, under pickle protocols 2 and 4", "[torch_pickle]") {
  const auto expected = read_npz(kGoldenTorch + "training_expected.npz");
  for (const char* name : {"state_dict.zip.pth", "state_dict.legacy.pth", "protocol4.zip.pth"}) {
    INFO(name);
    const auto tensors = read_pth(kGoldenTorch + name);
    CHECK(tensors.size() == 7);
    for (const auto& [key, tensor] : tensors) {
      INFO(key);
      CHECK(torch::equal(tensor, expected.at("model." + key)));
    }
  }
}

TEST_CASE("pth: nested containers, parameters and an AdamW state lie flat under dotted paths",
          "[torch_pickle]") {
  const auto expected = read_npz(kGoldenTorch + "training_expected.npz");
  for (const char* form : kForms) {
    INFO(form);
    const PthFile file = read_pth_file(kGoldenTorch + "training" + form);
    CHECK(file.tensors.size() == expected.size());
    for (const auto& [name, tensor] : expected) {
      INFO(name);
      REQUIRE(file.tensors.count(name));
      CHECK(torch::equal(file.tensors.at(name), tensor));
    }
    const auto& scalars = file.scalars;
    CHECK(std::get<int64_t>(scalars.at("step")) == 7);
    CHECK(std::get<int64_t>(scalars.at("big")) == -(int64_t{1} << 40));
    CHECK(std::get<int64_t>(scalars.at("nested.0.1")) == -2);
    CHECK(std::get<int64_t>(scalars.at("size.1")) == 4);
    CHECK(std::get<int64_t>(scalars.at("set.0")) == 5);
    CHECK(std::get<int64_t>(scalars.at("by_name.a.0")) == 1);
    CHECK(std::get<int64_t>(scalars.at("count")) == 9);
    CHECK(std::get<double>(scalars.at("lr")) == 1e-4);
    CHECK(std::get<double>(scalars.at("protocol")) == -3.5e300);
    CHECK(std::get<double>(scalars.at("best")) == 3.5);
    CHECK(std::get<double>(scalars.at("optimizer.param_groups.0.betas.1")) == 0.999);
    CHECK(std::get<bool>(scalars.at("flag")));
    CHECK(std::get<std::string>(scalars.at("name")) == "run");
    CHECK(std::get<std::string>(scalars.at("device")) == "cpu");
    CHECK(std::get<std::string>(scalars.at("4")) == "int key");
    CHECK_FALSE(scalars.count("nothing"));
    CHECK(file.others.at("seed") == "int");
    CHECK(file.others.at("array") == "numpy.ndarray");
    CHECK(file.others.at("dtype") == "torch.float32");
  }
}

TEST_CASE("pth: Namespaces and paths are plain data", "[torch_pickle]") {
  const PthFile file = read_pth_file(kGoldenTorch + "attributes.zip.pth");
  CHECK(torch::equal(file.tensors.at("tensor"), torch::arange(3)));
  CHECK(torch::equal(file.tensors.at("parameter"), torch::ones({2})));
  CHECK(std::get<double>(file.scalars.at("args.lr")) == 0.5);
  CHECK(std::get<std::string>(file.scalars.at("args.out")) == "/runs/a");
}

TEST_CASE("pth: a tensor that carries attributes, as PyTorch 2 writes it, is its tensor",
          "[torch_pickle]") {
  const std::string arguments = tensor_arguments(4, "K\0"s, "K\3\x85", "K\1\x85");
  const auto file = read_pickle(
      "\x80\x02"
      "ctorch._tensor\n_rebuild_from_type_v2\n(" +
          kRebuild + "ctorch\nTensor\n" + arguments + "}tR.",
      std::string(16, '\0'));
  CHECK(torch::equal(file.tensors.at(""), torch::zeros({3})));
}

TEST_CASE("pth: an untyped storage takes the dtype that its tensor names", "[torch_pickle]") {
  std::string arguments = tensor_arguments(8, "K\1", "K\1\x85", "K\1\x85");
  arguments.replace(
      arguments.find("ctorch\nFloatStorage\n"), 20, "ctorch.storage\nUntypedStorage\n");
  arguments.insert(arguments.size() - 1, "ctorch\nfloat32\n");
  std::string bytes(4, '\0');
  append_little_endian(bytes, 2.5f);
  const auto file = read_pickle(
      "\x80\x02"
      "ctorch._utils\n_rebuild_tensor_v3\n" +
          arguments + "R.",
      bytes);
  CHECK(torch::equal(file.tensors.at(""), torch::tensor({2.5f})));
}

TEST_CASE("pth: a storage that was a view of another before PyTorch 0.4 begins at its offset",
          "[torch_pickle]") {
  std::string arguments = tensor_arguments(4, "K\1", "K\1\x85", "K\1\x85");
  arguments.insert(arguments.find("tQ"), "(" + text("view") + "K\2K\2t");
  std::string bytes;
  for (const float value : {0.f, 1.f, 2.f, 3.f}) append_little_endian(bytes, value);
  const auto file = read_pickle("\x80\x02" + kRebuild + arguments + "R.", bytes);
  CHECK(torch::equal(file.tensors.at(""), torch::tensor({3.f})));
}

TEST_CASE("pth: a lone tensor has the empty path", "[torch_pickle]") {
  CHECK(torch::equal(read_pth(kGoldenTorch + "lone.zip.pth").at(""), torch::arange(3)));
}

TEST_CASE("pth: code is refused by name and never run", "[torch_pickle]") {
  CHECK_THROWS_WITH(read_pth(kGoldenTorch + "evil.zip.pth"),
                    Contains("evil.zip.pth: refused: it refers to posix.system"));
  CHECK_FALSE(std::filesystem::exists("/tmp/uvic-was-here"));
  CHECK_THROWS_WITH(read_pth(kGoldenTorch + "module.legacy.pth"),
                    Contains("torch.save(model.state_dict(), path)"));
  CHECK_THROWS_WITH(read_pickle("\x80\x02(i__builtin__\neval\n."),
                    Contains("refused: opcode INST"));
  CHECK_THROWS_WITH(read_pickle("\x80\x02"
                                "cbuiltins\neval\n."),
                    Contains("refused: it refers to builtins.eval"));
  CHECK_THROWS_WITH(read_pickle("\x80\x04" + text("os") + text("system") + "\x93."),
                    Contains("os.system"));
  CHECK_THROWS_WITH(read_pickle("\x80\x02\x82\x01."), Contains("refused: opcode EXT1"));
  CHECK_THROWS_WITH(read_pickle("\x80\x04" + text("os") + text("a\x1b[2Jb") + "\x93."),
                    Contains("os.a?[2Jb"));
  CHECK_THROWS_WITH(read_pickle("\x80\x02]]R."), Contains("calls something that is not a global"));
}

TEST_CASE("pth: other files are told apart", "[torch_pickle]") {
  const uvic::test::Scratch scratch;
  CHECK_THROWS_WITH(read_pth(kGoldenTorch + "plain.pkl"),
                    Contains("a pickle, but not one of torch.save"));
  CHECK_THROWS_WITH(read_pth(kGoldenTorch + "stored.zip"),
                    Contains("not one of torch.save (no data.pkl)"));
  CHECK_THROWS_WITH(read_pth(kGoldenTorch + "rgb.png"), Contains("not a file of torch.save"));
  write_file_atomically(scratch / "tar",
                        "sys_info" + std::string(249, '\0') + "ustar" + std::string(100, '\0'));
  CHECK_THROWS_WITH(read_pth(scratch / "tar"), Contains("the tar form of PyTorch 0.1"));
  ZipWriter script(scratch / "script.pt");
  script.add("net/data.pkl", "");
  script.add("net/constants.pkl", "");
  script.commit();
  CHECK_THROWS_WITH(read_pth(scratch / "script.pt"), Contains("a TorchScript module"));
  ZipWriter big(scratch / "big.pth");
  big.add("net/data.pkl", "");
  big.add("net/byteorder", "big");
  big.commit();
  CHECK_THROWS_WITH(read_pth(scratch / "big.pth"), Contains("big-endian"));
  std::string legacy = read_file(kGoldenTorch + "state_dict.legacy.pth");
  const size_t flag = legacy.find('\x88', legacy.find("little_endian"));
  legacy[flag] = '\x89';  // False
  CHECK_THROWS_WITH(read_pth_file(MappedFile::from_bytes(legacy, "the-file")),
                    Contains("big-endian"));
}

TEST_CASE("pth: a tensor can't reach beyond its storage", "[torch_pickle]") {
  const std::string floats(16, '\0');
  CHECK(
      read_pickle(tensor_pickle(4, "K\0"s, "K\2\x85", "K\1\x85"), floats).tensors.at("").numel() ==
      2);
  const auto refused = [&](int numel,
                           const std::string& offset,
                           const std::string& sizes,
                           const std::string& strides) {
    CHECK_THROWS_AS(read_pickle(tensor_pickle(numel, offset, sizes, strides), floats),
                    std::runtime_error);
  };
  const std::string huge = "\x8a\x08" + std::string(7, '\xff') + "\x7f";  // 2^63 - 1
  const std::string minus = "J" + std::string(4, '\xff');
  refused(5, "K\0"s, "K\2\x85", "K\1\x85");  // storage longer than its bytes
  refused(4, "K\3", "K\2\x85", "K\1\x85");   // offset too far
  refused(4, "K\0"s, "K\2\x85", "K\4\x85");  // stride too long
  refused(4, huge, "K\2\x85", "K\1\x85");
  refused(4, minus, "K\2\x85", "K\1\x85");
  refused(4, "K\0"s, huge + "\x85", "K\1\x85");
  refused(4, "K\0"s, "K\2\x85", huge + "\x85");
  refused(4, "K\0"s, minus + "\x85", "K\1\x85");
  refused(4, "K\0"s, "K\2\x85", minus + "\x85");
  refused(4, "K\0"s, "K\2K\2\x86", "K\1\x85");  // a size without a stride
  refused(4, "K\0"s, huge + huge + "\x86", "K\0K\0\x86"s);
  refused(4,
          "K\0"s,
          "J" + std::string("\0\0\0\x40", 4) + "\x85",
          "K\0\x85"s);  // 2^30 times one element
}

TEST_CASE("pth: a small pickle can't mean endlessly many values", "[torch_pickle]") {
  // x = [x0, x0]; x = [x, x]; ... forty times: 2^40 paths in 400 bytes.
  std::string doubling = "\x80\x02]";
  for (int i = 0; i < 40; ++i) doubling += "q\1]h\1ah\1a";
  CHECK_THROWS_WITH(read_pickle(doubling + "."), Contains("stack") || Contains("too many values"));
  std::string pairs = "\x80\x02]q\1.";
  for (int i = 0; i < 40; ++i) pairs.insert(pairs.size() - 1, "h\1h\1\x86q\1");
  pairs.insert(pairs.size() - 1, "\x86");
  CHECK_THROWS_AS(read_pickle(pairs), std::runtime_error);
  CHECK_THROWS_AS(read_pickle("\x80\x02]q\1h\1a."), std::runtime_error);  // a list in itself
  CHECK_THROWS_WITH(read_pickle("\x80\x02" + std::string(100, ']') + std::string(99, 'a') + "."),
                    Contains("nested deeper than 64 levels"));
}

TEST_CASE("pth: a path that two tensors claim is refused", "[torch_pickle]") {
  std::string one = tensor_pickle(1, "K\0"s, ")", ")");
  one = one.substr(2, one.size() - 3);
  const std::string both =
      "\x80\x02}(" + text("a.b") + one + text("a") + "}" + text("b") + one + "su.";
  CHECK_THROWS_WITH(read_pickle(both, std::string(4, '\0')), Contains("a.b: is in it twice"));
}

TEST_CASE("pth: what is written reads back, sharing and strides included", "[torch_pickle]") {
  const uvic::test::Scratch scratch;
  const auto base = torch::randn({3, 4});
  const std::map<std::string, torch::Tensor> tensors = {
      {"a.weight", base},
      {"b.weight", base.t()},
      {"row", base[1]},
      {"half", base.to(torch::kHalf)},
      {"bf16", base.to(torch::kBFloat16)},
      {"ints", torch::arange(5)},
      {"flags", torch::tensor({true, false})},
      {"scalar", torch::tensor(1.5, torch::kFloat64)},
      {"empty", torch::empty({0, 2})},
      {"needs_grad", torch::ones({2}, torch::requires_grad())}};
  write_pth(scratch / "a.pth", tensors);
  const auto back = read_pth(scratch / "a.pth");
  REQUIRE(back.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    CHECK(back.at(name).dtype() == tensor.dtype());
    CHECK(torch::equal(back.at(name), tensor));
  }
  CHECK(back.at("a.weight").storage().data() == back.at("row").storage().data());
  CHECK(back.at("b.weight").strides() == base.t().strides());
  CHECK_THROWS_AS(write_pth(scratch / "b.pth", {{"s", torch::ones({2}).to_sparse()}}),
                  std::invalid_argument);
  CHECK_FALSE(std::filesystem::exists(scratch / "b.pth"));
}

TEST_CASE("pth: a file cut anywhere is refused, and damage never crashes", "[torch_pickle]") {
  for (const char* name :
       {"views.zip.pth", "views.legacy.pth", "state_dict.zip.pth", "state_dict.legacy.pth"}) {
    INFO(name);
    CHECK(uvic::test::survive_damage(read_file(kGoldenTorch + name), read_bytes) == 0);
  }
}

TEST_CASE("pth: a changed byte of a storage fails its CRC", "[torch_pickle]") {
  const auto whole = read_file(kGoldenTorch + "state_dict.zip.pth");
  const ZipReader archive(MappedFile::from_bytes(whole, "whole"));
  size_t storages = 0;
  for (size_t i = 0; i < archive.entries().size(); ++i) {
    const auto& entry = archive.entries()[i];
    if (entry.name.find("/data/") == std::string::npos || entry.size_bytes == 0) continue;
    ++storages;
    auto damaged = whole;
    damaged[*archive.stored_at(i) + entry.size_bytes / 2] ^= 1;
    CHECK_THROWS_WITH(
        read_bytes(MappedFile::from_bytes(damaged, "the-file")),
        Contains("the-file: " + std::string(entry.name) + ": damaged: its CRC does not match"));
  }
  CHECK(storages > 2);
}

TEST_CASE("pth: a file written without checksums is read", "[torch_pickle]") {
  auto bytes = read_file(kGoldenTorch + "state_dict.zip.pth");
  const auto expected = read_pth_file(MappedFile::from_bytes(bytes, "whole")).tensors;
  for (const auto& [signature, at] : {std::pair("PK\1\2", 16), {"PK\3\4", 14}, {"PK\7\b", 4}})
    for (auto found = bytes.find(signature); found != std::string::npos;
         found = bytes.find(signature, found + 1))
      bytes.replace(found + static_cast<size_t>(at), 4, 4, '\0');
  const auto read = read_pth_file(MappedFile::from_bytes(bytes, "the-file")).tensors;
  REQUIRE(read.size() == expected.size());
  for (const auto& [name, tensor] : expected) CHECK(torch::equal(read.at(name), tensor));
}
