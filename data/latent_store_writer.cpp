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
  /// Opens what is there, or writes the header. Rows that were cut short are forgotten. Without
  /// `writes` to ask for rows() alone, of a file that may be absent.
  Part(fs::path final_path, std::vector<int64_t> shape, torch::ScalarType dtype, bool writes)
      : final_(std::move(final_path)),
        path_(final_.string() + ".part"),
        header_(formats::npy_header(dtype, shape)),
        dtype_(dtype),
        total_(shape[0]),
        row_bytes_(c10::elementSize(dtype)) {
    for (size_t i = 1; i < shape.size(); ++i) row_bytes_ *= static_cast<uint64_t>(shape[i]);
    file_ = ::open(path_.c_str(), (writes ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0644);
    if (file_ < 0 && !writes && errno == ENOENT) return;
    if (file_ < 0) fail("can't be opened");
    const auto size = static_cast<uint64_t>(std::max<off_t>(0, ::lseek(file_, 0, SEEK_END)));
    if (size >= header_.size()) rows_ = static_cast<int64_t>((size - header_.size()) / row_bytes_);
    rows_ = std::min(rows_, total_);
    if (writes && size < header_.size()) {
      if (::ftruncate(file_, 0) != 0) fail("can't be written");
      write(header_.data(), header_.size(), 0);
    }
  }
  ~Part() {
    if (file_ >= 0) ::close(file_);
  }
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  int64_t rows() const { return rows_; }

  /// Keeps the first `rows` rows, which are there.
  void keep(int64_t rows) {
    if (rows > rows_)
      throw std::runtime_error(
          fmt::format("{}: has {} rows, had {}; another program works on it", path_, rows_, rows));
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
}

LatentStoreWriter::~LatentStoreWriter() = default;

int64_t LatentStoreWriter::captions_before(int64_t shard, int64_t rows) const {
  const auto begin = plan_.info.shard_begin(shard);
  return begins_[static_cast<size_t>(begin + rows)] - begins_[static_cast<size_t>(begin)];
}

std::unique_ptr<LatentStoreWriter::Part> LatentStoreWriter::open_moments(int64_t shard,
                                                                         bool writes) const {
  const auto& info = plan_.info;
  const auto rows = info.shard_end(shard) - info.shard_begin(shard);
  return std::make_unique<Part>(moments_path(folder_, shard),
                                std::vector<int64_t>{rows, info.channels, info.size, info.size},
                                info.moments_dtype,
                                writes);
}

std::unique_ptr<LatentStoreWriter::Part> LatentStoreWriter::open_contexts(int64_t shard,
                                                                          bool writes) const {
  const auto& info = plan_.info;
  // Killed between the two renames: the contexts are complete, the moments have all their rows.
  if (info.captions == 0 || is_there(contexts_path(folder_, shard))) return nullptr;
  const auto rows = captions_before(shard, info.shard_end(shard) - info.shard_begin(shard));
  return std::make_unique<Part>(contexts_path(folder_, shard),
                                std::vector<int64_t>{rows, info.context_tokens, info.context_dim},
                                info.context_dtype,
                                writes);
}

std::vector<FeaturePiece> LatentStoreWriter::left(int64_t processes) const {
  const auto& info = plan_.info;
  std::vector<FeaturePiece> pieces;
  for (int64_t shard = 0; shard < info.shards(); ++shard) {
    if (is_there(moments_path(folder_, shard)) &&
        (info.captions == 0 || is_there(contexts_path(folder_, shard))))
      continue;
    auto rows = open_moments(shard, /*writes=*/false)->rows();
    if (const auto contexts = open_contexts(shard, /*writes=*/false))
      while (captions_before(shard, rows) > contexts->rows()) --rows;
    const auto process = static_cast<int64_t>(pieces.size()) % processes;
    pieces.push_back({info.shard_begin(shard) + rows, info.shard_end(shard), process});
  }
  return pieces;
}

void LatentStoreWriter::begin(const FeaturePiece& piece) {
  shard_ = (piece.end - 1) / plan_.info.shard_images;
  next_ = piece.begin;
  const auto rows = piece.begin - plan_.info.shard_begin(shard_);
  contexts_ = open_contexts(shard_, /*writes=*/true);
  moments_ = open_moments(shard_, /*writes=*/true);
  if (contexts_) contexts_->keep(captions_before(shard_, rows));
  moments_->keep(rows);
  if (next_ == piece.end) close_shard();
}

void LatentStoreWriter::close_shard() {
  if (contexts_) contexts_->commit();
  moments_->commit();
  contexts_.reset();
  moments_.reset();
}

void LatentStoreWriter::add(const torch::Tensor& moments, const torch::Tensor& contexts) {
  // Moments come last: an example whose moments are there is complete.
  if (contexts.defined() && contexts_) contexts_->add(contexts);
  moments_->add(moments);
  next_ += moments.size(0);
  if (next_ == plan_.info.shard_end(shard_)) close_shard();
}

void LatentStoreWriter::finish(const std::vector<std::string>& texts,
                               const torch::Tensor& empty_context) {
  const auto& info = plan_.info;
  TORCH_INTERNAL_ASSERT(left(1).empty());
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
