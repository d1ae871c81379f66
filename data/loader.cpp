#include "data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/thread_loop.h"
#include "data/augment.h"
#include "data/permutation.h"

namespace uvic::data {
namespace {

// Words that separate the loader's uses of one seed.
constexpr uint64_t kOrderStream = 0x6f72646572;  // "order"
constexpr uint64_t kFlipStream = 0x666c6970;     // "flip"
constexpr uint64_t kCaptionStream = 0x63617074;  // "capt"
constexpr uint64_t kAugmentStream = 0x61756765;  // "auge"

Batch empty_batch(int64_t examples, const ExampleFormat& format) {
  Batch batch{torch::empty({examples, format.channels, format.size, format.size},
                           format.is_latent ? torch::kFloat32 : torch::kUInt8),
              torch::empty({examples}, torch::kInt64),
              torch::empty({examples}, torch::kInt64)};
  if (format.context_dim > 0)
    batch.contexts = torch::empty({examples, format.context_tokens, format.context_dim});
  else if (format.context_tokens > 0)
    batch.tokens = torch::empty({examples, format.context_tokens}, torch::kInt64);
  return batch;
}

/// Where example i of the batch is.
ExampleMemory memory_of(const Batch& batch, int64_t i) {
  const auto row = [i](const torch::Tensor& t) {
    return static_cast<char*>(t.data_ptr()) +
           i * static_cast<int64_t>(t.nbytes() / static_cast<size_t>(t.size(0)));
  };
  ExampleMemory to;
  to.image = row(batch.images);
  if (batch.contexts.defined()) to.context = reinterpret_cast<float*>(row(batch.contexts));
  if (batch.tokens.defined()) to.tokens = reinterpret_cast<int64_t*>(row(batch.tokens));
  return to;
}

void flip_rows(uint8_t* planes, int64_t side) {
  for (int64_t row = 0; row < 3 * side; ++row)
    std::reverse(planes + row * side, planes + (row + 1) * side);
}

void check(const LoaderOptions& options, int64_t images_seen) {
  const auto fail = [](const std::string& what) { throw std::invalid_argument("loader: " + what); };
  if (options.world < 1 || options.rank < 0 || options.rank >= options.world)
    fail(fmt::format("rank {} of {}, want 0 <= rank < world", options.rank, options.world));
  if (options.together < 1 || options.batch_size % options.together != 0)
    fail(fmt::format("batch_size {}, want a multiple of the {} kept together",
                     options.batch_size,
                     options.together));
  if (options.batch_size < options.world * options.together)
    fail(fmt::format("batch_size {}, want at least {} for each of the {} ranks",
                     options.batch_size,
                     options.together == 1 ? "one image" : "one group",
                     options.world));
  if (!(options.augment >= 0 && options.augment <= 1))
    fail(fmt::format("augment {}, want a probability", options.augment));
  if (options.workers < 0 || options.workers > 1024)
    fail(fmt::format("{} workers, want 0 to 1024", options.workers));
  if (images_seen < 0) fail(fmt::format("images_seen {}, want at least 0", images_seen));
}

/// The images of these numbers, unflipped.
Batch read_images(const Dataset& dataset, const torch::Tensor& chosen, int64_t threads) {
  const int64_t side = dataset.image_size(), count = chosen.size(0);
  auto batch = empty_batch(count, {false, 3, side, 0, 0});
  batch.positions = chosen;
  const auto* index = chosen.data_ptr<int64_t>();
  auto* planes = batch.images.data_ptr<uint8_t>();
  auto* labels = batch.labels.data_ptr<int64_t>();
  base::parallel_for(count, threads, [&](int64_t i) {
    labels[i] = dataset.read(index[i], planes + i * 3 * side * side);
  });
  return batch;
}

}  // namespace

int64_t image_at(int64_t size, uint64_t seed, int64_t position) {
  const auto epoch = static_cast<uint64_t>(position / size);
  const Permutation order(size, base::hash2(base::hash2(seed, kOrderStream), epoch));
  return order(position % size);
}

/// Workers take batch numbers in order, fill batches anywhere, and lay them in `ready`, where
/// next() finds its own.
struct Loader::State {
  const Dataset& dataset;
  const LoaderOptions options;
  const int64_t first;  // images_seen at the start

  struct Result {
    Batch batch;
    std::exception_ptr error;
  };
  std::mutex mutex;
  std::condition_variable room, filled;
  std::map<int64_t, Result> ready;  // by batch number
  int64_t claimed = 0;              // batches that workers have begun
  int64_t given = 0;                // batches that next() has returned
  bool stopping = false;
  std::exception_ptr failed;
  std::vector<std::thread> threads;

  State(const Dataset& d, const LoaderOptions& o, int64_t images_seen)
      : dataset(d), options(o), first(images_seen) {}

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    room.notify_all();
    for (auto& thread : threads) thread.join();
  }

  /// Reads the image at `position` of the infinite sequence, and returns its label. `augments`
  /// receives how it was changed, where that was asked for.
  int64_t read(int64_t position,
               const ExampleFormat& format,
               const ExampleMemory& to,
               float* augments = nullptr) const {
    const auto at = static_cast<uint64_t>(position);
    const uint64_t caption = base::hash2(base::hash2(options.seed, kCaptionStream), at);
    const int64_t label =
        dataset.read_example(image_at(dataset.size(), options.seed, position), caption, to);
    if (options.augment > 0) {
      const auto augment = draw_augment(base::hash2(base::hash2(options.seed, kAugmentStream), at),
                                        options.augment,
                                        options.flip);
      apply_augment(augment, format.size, static_cast<uint8_t*>(to.image));
      const auto numbers = augment.numbers();
      if (augments) std::copy(numbers.begin(), numbers.end(), augments);
      return label;
    }
    const uint64_t coin = base::hash2(base::hash2(options.seed, kFlipStream), at);
    if (options.flip && !format.is_latent && (coin & 1))
      flip_rows(static_cast<uint8_t*>(to.image), format.size);
    return label;
  }

  /// The image and label of the other example of each pair. Most are in the batch already: only one
  /// whose pair the batch's ends cut is read.
  void add_others(Batch& batch, const ExampleFormat& format) const {
    batch.other_images = torch::empty_like(batch.images);
    batch.other_labels = torch::empty_like(batch.labels);
    auto spare = empty_batch(1, format);
    const int64_t begin = batch.positions[0].item<int64_t>(), size = batch.size();
    for (int64_t i = 0; i < size; ++i) {
      const int64_t other = other_position(begin + i) - begin;
      const bool is_here = other >= 0 && other < size;
      if (!is_here) spare.labels[0] = read(begin + other, format, memory_of(spare, 0));
      const Batch& from = is_here ? batch : spare;
      const int64_t row = is_here ? other : 0;
      batch.other_images[i].copy_(from.images[row]);
      batch.other_labels[i].copy_(from.labels[row]);
    }
  }

  Batch fill(int64_t number) const {
    const auto format = dataset.format();
    if (options.augment > 0 && format.is_latent)
      throw std::invalid_argument(
          "loader: the latent of a changed image is not the changed latent; set augment to 0");
    const auto start_of = [&](int64_t rank) {
      return options.batch_size / options.together * rank / options.world * options.together;
    };
    const int64_t before = start_of(options.rank);
    const int64_t examples = start_of(options.rank + 1) - before;
    const int64_t begin = first + number * options.batch_size + before;
    auto batch = empty_batch(examples, format);
    int64_t* labels = batch.labels.data_ptr<int64_t>();
    int64_t* positions = batch.positions.data_ptr<int64_t>();
    float* augments = nullptr;
    if (options.augment > 0) {
      batch.augments = torch::empty({examples, kAugmentNumbers});
      augments = batch.augments.data_ptr<float>();
    }
    for (int64_t i = 0; i < examples; ++i) {
      positions[i] = begin + i;
      labels[i] = read(begin + i,
                       format,
                       memory_of(batch, i),
                       augments ? augments + i * kAugmentNumbers : nullptr);
    }
    if (options.others) add_others(batch, format);
    return batch;
  }

  void work() {
    const int64_t ahead = 2 * options.workers;  // batches begun and not yet given
    std::unique_lock lock(mutex);
    while (true) {
      room.wait(lock, [&] { return stopping || claimed < given + ahead; });
      if (stopping) return;
      const int64_t number = claimed++;
      lock.unlock();
      Result result;
      try {
        result.batch = fill(number);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      ready.emplace(number, std::move(result));
      filled.notify_one();
    }
  }
};

Loader::Loader(const Dataset& dataset, const LoaderOptions& options, int64_t images_seen) {
  check(options, images_seen);
  state_ = std::make_unique<State>(dataset, options, images_seen);
  for (int64_t w = 0; w < options.workers; ++w)
    state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

Loader::~Loader() = default;

Batch Loader::next() {
  auto& state = *state_;
  if (state.failed) std::rethrow_exception(state.failed);
  State::Result result;
  if (state.options.workers == 0) {
    try {
      result.batch = state.fill(state.given);
    } catch (...) {
      result.error = std::current_exception();
    }
  } else {
    std::unique_lock lock(state.mutex);
    state.filled.wait(lock, [&] { return state.ready.count(state.given) > 0; });
    result = std::move(state.ready.extract(state.given).mapped());
  }
  if (result.error) {
    state.failed = result.error;
    std::rethrow_exception(result.error);
  }
  {
    const std::lock_guard lock(state.mutex);
    ++state.given;
  }
  state.room.notify_one();
  return result.batch;
}

int64_t Loader::images_seen() const {
  return state_->first + state_->given * state_->options.batch_size;
}

Batch read_range(const Dataset& dataset, int64_t begin, int64_t end, int64_t threads) {
  if (begin < 0 || end < begin || end > dataset.size())
    throw std::invalid_argument(
        fmt::format("read_range: {} to {} of {} images", begin, end, dataset.size()));
  return read_images(dataset, torch::arange(begin, end, torch::kInt64), threads);
}

Batch read_spread(const Dataset& dataset, int64_t begin, int64_t end, int64_t count) {
  if (begin < 0 || end < begin || end > count || count > dataset.size())
    throw std::invalid_argument(
        fmt::format("read_spread: {} to {} of {} of {} images", begin, end, count, dataset.size()));
  auto chosen = torch::arange(begin, end, torch::kInt64);
  auto* index = chosen.data_ptr<int64_t>();
  for (int64_t i = 0; i < end - begin; ++i)
    index[i] = base::spread_index(begin + i, count, dataset.size());
  return read_images(dataset, chosen, 0);
}

}  // namespace uvic::data
