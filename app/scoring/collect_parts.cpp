#include "app/scoring/collect_parts.h"

#include <functional>

#include "base/progress_line.h"

namespace uvic::app {
namespace {

std::function<void(int64_t)> progress_of(const std::string& what, int64_t total) {
  return [line = base::CountProgress(what.c_str(), "images"), total](int64_t done) mutable {
    line(done, total);
  };
}

}  // namespace

metrics::Collected collect_parts(base::ProcessGroup* group,
                                 const metrics::FeatureExtractor& extractor,
                                 const metrics::SharedImages& images,
                                 const metrics::CollectOptions& keep,
                                 const std::string& what) {
  if (!group)
    return metrics::collect(
        extractor, images.open(0, images.count), keep, progress_of(what, images.count));
  return metrics::collect_shared(
      *group,
      extractor,
      images,
      keep,
      group->is_first() ? progress_of(what, images.count) : std::function<void(int64_t)>());
}

int64_t sum_of_all(base::ProcessGroup* group, int64_t own) {
  return group ? group->gather(torch::full({1}, own, torch::kInt64)).sum().item<int64_t>() : own;
}

}  // namespace uvic::app
