// The zip form of .pth, as torch.save writes it.
#include <fmt/format.h>

#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/formats/little_endian.h"
#include "data/formats/torch_pickle.h"
#include "data/formats/torch_pickle_values.h"
#include "data/formats/zip_writer.h"

namespace uvic::formats {
namespace {

// The pickle of an OrderedDict of tensors, protocol 2, as torch.save writes it.
class StateDictPickle {
 public:
  StateDictPickle() {
    out_ = std::string("\x80\x02", 2);
    global("collections", "OrderedDict");
    out_ += ")R(";
  }

  void add(const std::string& name,
           const torch::Tensor& tensor,
           std::string_view storage_class,
           size_t key) {
    text(name);
    global("torch._utils", "_rebuild_tensor_v2");
    out_ += "((";
    text("storage");
    global("torch", storage_class);
    text(std::to_string(key));
    text("cpu");
    integer(static_cast<int64_t>(tensor.storage().nbytes() / tensor.element_size()));
    out_ += "tQ";
    integer(tensor.storage_offset());
    tuple(tensor.sizes());
    tuple(tensor.strides());
    out_ += '\x89';  // requires_grad=False
    global("collections", "OrderedDict");
    out_ += ")RtR";  // no backward hooks; end of the arguments; call
  }

  std::string finish() { return out_ + "u."; }

 private:
  void global(std::string_view module, std::string_view name) {
    out_ += fmt::format("c{}\n{}\n", module, name);
  }
  void text(std::string_view utf8) {
    out_ += 'X';
    append_little_endian<uint32_t>(out_, static_cast<uint32_t>(utf8.size()));
    out_ += utf8;
  }
  void integer(int64_t value) {
    out_ += std::string("\x8a\x08", 2);  // LONG1 of eight bytes
    append_little_endian(out_, value);
  }
  void tuple(at::IntArrayRef values) {
    out_ += '(';
    for (const int64_t value : values) integer(value);
    out_ += 't';
  }

  std::string out_;
};

std::string_view storage_class_of(const std::string& name, const torch::Tensor& tensor) {
  const auto known = storage_class(tensor.scalar_type());
  if (tensor.layout() != torch::kStrided || !known) {
    throw std::invalid_argument(
        fmt::format("write_pth: {} is not a dense tensor of a known dtype ({})",
                    name,
                    c10::toString(tensor.scalar_type())));
  }
  return *known;
}

}  // namespace

void write_pth(const std::filesystem::path& path,
               const std::map<std::string, torch::Tensor>& tensors) {
  StateDictPickle pickle;
  std::vector<torch::Tensor> stored;  // one tensor for each storage
  std::unordered_map<const void*, size_t> keys;
  for (const auto& [name, tensor] : tensors) {
    const auto storage_class = storage_class_of(name, tensor);
    const auto [known, is_new] =
        keys.emplace(tensor.storage().unsafeGetStorageImpl(), stored.size());
    if (is_new) stored.push_back(tensor);
    pickle.add(name, tensor, storage_class, known->second);
  }
  const std::string prefix = "archive/";
  constexpr size_t kAlignment = 64;
  ZipWriter archive(path);
  archive.add(prefix + "data.pkl", pickle.finish(), kAlignment);
  archive.add(prefix + "byteorder", "little", kAlignment);
  for (size_t key = 0; key < stored.size(); ++key) {
    const auto& storage = stored[key].storage();
    const auto size = static_cast<int64_t>(storage.nbytes());
    const auto bytes =
        torch::empty({0}, stored[key].options().dtype(torch::kUInt8).requires_grad(false))
            .set_(storage, 0, {size}, {1})
            .cpu();
    archive.add(prefix + "data/" + std::to_string(key),
                {static_cast<const char*>(bytes.data_ptr()), storage.nbytes()},
                kAlignment);
  }
  archive.add(prefix + "version", "3\n", kAlignment);
  archive.commit();
}

}  // namespace uvic::formats
