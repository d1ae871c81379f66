#include "base/gpus.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "base/process.h"

namespace uvic::base {
namespace {

/// Of the ranks of one machine, in order: the place of each among them.
std::vector<int64_t> local_places(const std::vector<GpuView>& ranks,
                                  const std::vector<size_t>& here) {
  std::vector<int64_t> places, order;
  std::set<int64_t> known;
  for (const size_t rank : here) {
    order.push_back(static_cast<int64_t>(places.size()));
    places.push_back(ranks[rank].local_rank);
    known.insert(ranks[rank].local_rank);
  }
  return known.size() == here.size() ? places : order;
}

}  // namespace

std::vector<int64_t> choose_gpus(const std::vector<GpuView>& ranks, const std::string& wanted) {
  std::map<std::string, std::vector<size_t>> machines;
  for (size_t rank = 0; rank < ranks.size(); ++rank) machines[ranks[rank].machine].push_back(rank);
  std::vector<int64_t> chosen(ranks.size());
  for (const auto& [machine, here] : machines) {
    std::set<std::string> all, taken;
    for (const size_t rank : here) all.insert(ranks[rank].gpus.begin(), ranks[rank].gpus.end());
    const auto& host = ranks[here[0]].host;
    require(all.size() >= here.size(),
            "--device {}: host {} has {} processes and {} GPU{}; start at most a process for each "
            "GPU, or pass --device cpu",
            wanted,
            host,
            here.size(),
            all.size(),
            all.size() == 1 ? "" : "s");
    const auto places = local_places(ranks, here);
    for (size_t i = 0; i < here.size(); ++i) {
      const auto& gpus = ranks[here[i]].gpus;
      const auto count = static_cast<int64_t>(gpus.size());
      const auto index = count == 1 ? 0 : places[i];
      require(index < count,
              "--device {}: rank {} of {} is process {} on host {}, but sees {} GPU{}",
              wanted,
              here[i],
              ranks.size(),
              places[i],
              host,
              count,
              count == 1 ? "" : "s");
      const auto& gpu = gpus[static_cast<size_t>(index)];
      require(taken.insert(gpu).second,
              "--device {}: rank {} of {} would share GPU {} of host {} with another process; "
              "check CUDA_VISIBLE_DEVICES and the launcher's binding of GPUs",
              wanted,
              here[i],
              ranks.size(),
              gpu,
              host);
      chosen[here[i]] = index;
    }
  }
  return chosen;
}

std::string text_of(const GpuView& view) {
  return nlohmann::json{{"host", view.host},
                        {"machine", view.machine},
                        {"local_rank", view.local_rank},
                        {"gpus", view.gpus}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

GpuView gpu_view_of(const std::string& text) {
  const auto object = nlohmann::json::parse(text);
  return {object.at("host"), object.at("machine"), object.at("local_rank"), object.at("gpus")};
}

void use_gpu(int64_t index) {
  make_current(index);
  set_own_gpu(index);
}

}  // namespace uvic::base
