#include "data/latent_store_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/source_path.h"

namespace uvic::data {
namespace fs = std::filesystem;
namespace {

std::string one_line(std::string text) {
  for (auto& letter : text)
    if (letter == '\n' || letter == '\r') letter = ' ';
  return text;
}

torch::Tensor int64_tensor(const std::vector<int64_t>& values) {
  return torch::from_blob(
      const_cast<int64_t*>(values.data()), {static_cast<int64_t>(values.size())}, torch::kInt64);
}

}  // namespace

/// NAME.npy.part: a .npy whose rows are appended, and which gets its name when all are there.
class LatentStoreWriter::Part {
 public:
  /// Opens what is there, or writes the header. Rows that were cut short are forgotten.
  Part(fs::path final_path, std::vector<int64_t> shape, torch::ScalarType dtype)
      : final_(std::move(final_path)),
        path_(final_.string() + ".part"),
        header_(formats::npy_header(dtype, shape)),
        dtype_(dtype),
        total_(shape[0]),
        row_bytes_(c10::elementSize(dtype)) {
    for (size_t i = 1; i < shape.size(); ++i) row_bytes_ *= static_cast<uint64_t>(shape[i]);
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_ < 0) fail("can't be opened");
    const auto size = static_cast<uint64_t>(std::max<off_t>(0, ::lseek(file_, 0, SEEK_END)));
    if (size >= header_.size()) rows_ = static_cast<int64_t>((size - header_.size()) / row_bytes_);
    rows_ = std::min(rows_, total_);
    if (size < header_.size()) {
      if (::ftruncate(file_, 0) != 0) fail("can't be written");
      write(header_.data(), header_.size(), 0);
    }
  }
  ~Part() { ::close(file_); }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  int64_t rows() const { return rows_; }

  /// Keeps the first `rows` rows.
  void keep(int64_t rows) {
    rows_ = rows;
    if (::ftruncate(file_, static_cast<off_t>(offset(rows))) != 0) fail("can't be written");
  }
  void add(const torch::Tensor& rows) {
    const auto plain = rows.detach().to(torch::kCPU, dtype_).contiguous();
    write(plain.data_ptr(), plain.nbytes(), offset(rows_));
    rows_ += plain.size(0);
  }
  void commit() {
    if (::fsync(file_) != 0) fail("can't be written");
    fs::rename(path_, final_);
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw std::runtime_error(fmt::format("{}: {}: {}", path_, what, std::strerror(errno)));
  }
  uint64_t offset(int64_t row) const {
    return header_.size() + static_cast<uint64_t>(row) * row_bytes_;
  }
  void write(const void* data, size_t size, uint64_t at) {
    const auto* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const auto written = ::pwrite(file_, bytes, size, static_cast<off_t>(at));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail("can't be written");
      bytes += written, size -= static_cast<size_t>(written), at += static_cast<uint64_t>(written);
    }
  }

  fs::path final_;
  std::string path_, header_;
  torch::ScalarType dtype_;
  int64_t total_, rows_ = 0;
  uint64_t row_bytes_;
  int file_ = -1;
};

LatentStoreWriter::LatentStoreWriter(fs::path folder, FeaturePlan plan)
    : folder_(std::move(folder)), plan_(std::move(plan)), begins_{0} {
  auto& info = plan_.info;
  for (const auto count : plan_.caption_counts) begins_.push_back(begins_.back() + count);
  info.captions = begins_.back();
  info.labelled = !plan_.labels.empty();
  begin_plan(folder_, store_index_path(folder_), info.to_json());
  while (done_ < info.images && is_there(moments_path(folder_, shard_ + 1)) &&
         (info.captions == 0 || is_there(contexts_path(folder_, shard_ + 1))))
    done_ = info.shard_end(++shard_);
  if (done_ < info.images) open_shard();
}

LatentStoreWriter::~LatentStoreWriter() = default;

void LatentStoreWriter::open_shard() {
  const auto& info = plan_.info;
  const auto shard = done_ / info.shard_images;
  const auto begin = info.shard_begin(shard), end = info.shard_end(shard);
  shard_ = shard;
  // Killed between the two renames: the contexts are complete, the moments have all their rows.
  const bool contexts_done = info.captions > 0 && is_there(contexts_path(folder_, shard));
  moments_ =
      std::make_unique<Part>(moments_path(folder_, shard),
                             std::vector<int64_t>{end - begin, info.channels, info.size, info.size},
                             info.moments_dtype);
  auto rows = moments_->rows();
  if (info.captions > 0 && !contexts_done) {
    const auto first = begins_[static_cast<size_t>(begin)];
    contexts_ = std::make_unique<Part>(
        contexts_path(folder_, shard),
        std::vector<int64_t>{
            begins_[static_cast<size_t>(end)] - first, info.context_tokens, info.context_dim},
        info.context_dtype);
    while (begins_[static_cast<size_t>(begin + rows)] - first > contexts_->rows()) --rows;
    contexts_->keep(begins_[static_cast<size_t>(begin + rows)] - first);
  }
  moments_->keep(rows);
  done_ = begin + rows;
  if (done_ == end) close_shard();
}

void LatentStoreWriter::close_shard() {
  if (contexts_) contexts_->commit();
  moments_->commit();
  contexts_.reset();
  moments_.reset();
  if (done_ < plan_.info.images) open_shard();
}

void LatentStoreWriter::add_to_shard(const torch::Tensor& moments, const torch::Tensor& contexts) {
  // Moments come last: an example whose moments are there is complete.
  if (contexts.defined()) contexts_->add(contexts);
  moments_->add(moments);
  done_ += moments.size(0);
  if (done_ == plan_.info.shard_end(shard_)) close_shard();
}

void LatentStoreWriter::add(const torch::Tensor& moments, const torch::Tensor& contexts) {
  int64_t begin = 0;
  const auto first_caption = plan_.info.captions > 0 ? begins_[static_cast<size_t>(done_)] : 0;
  while (begin < moments.size(0)) {
    const auto count = std::min(moments.size(0) - begin, plan_.info.shard_end(shard_) - done_);
    torch::Tensor part;
    if (contexts.defined())
      part = contexts.slice(0,
                            begins_[static_cast<size_t>(done_)] - first_caption,
                            begins_[static_cast<size_t>(done_ + count)] - first_caption);
    add_to_shard(moments.slice(0, begin, begin + count), part);
    begin += count;
  }
}

void LatentStoreWriter::finish(const std::vector<std::string>& texts,
                               const torch::Tensor& empty_context) {
  const auto& info = plan_.info;
  TORCH_INTERNAL_ASSERT(done_ == info.images);
  auto labels = plan_.labels;
  if (labels.empty()) labels.assign(static_cast<size_t>(info.images), -1);
  formats::write_npy(folder_ / "labels.npy", int64_tensor(labels));
  if (info.captions > 0) {
    formats::write_npy(folder_ / "caption_begins.npy", int64_tensor(begins_));
    std::string all;
    for (const auto& text : texts) all += one_line(text) + "\n";
    formats::write_file_atomically(folder_ / "captions.txt", all);
    if (empty_context.defined())
      formats::write_npy(folder_ / "empty_context.npy", empty_context.to(torch::kFloat32));
  }
  formats::write_json(store_index_path(folder_), info.to_json());
  fs::remove(plan_path(folder_));
}

}  // namespace uvic::data
