// What one process or several gather of a set of images.
#pragma once

#include <cstdint>
#include <string>

#include "base/process_group.h"
#include "metrics/collect.h"

namespace uvic::app {

/// All images, or with a group (null: none) each process its part of them: the same result, in
/// every process. A line on stderr says how far the first has come with `what`.
metrics::Collected collect_parts(base::ProcessGroup* group,
                                 const metrics::FeatureExtractor& extractor,
                                 const metrics::SharedImages& images,
                                 const metrics::CollectOptions& keep,
                                 const std::string& what);

/// The sum of `own` over all processes.
int64_t sum_of_all(base::ProcessGroup* group, int64_t own);

}  // namespace uvic::app
